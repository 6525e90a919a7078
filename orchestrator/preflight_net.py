"""Whether what lies elsewhere can be had: checkpoints and data sets of the Hugging Face hub, and endpoints."""

import os
import urllib.error
import urllib.request
from pathlib import Path
from typing import Literal

PATIENCE = 10
"""Seconds that an endpoint or the hub may take to answer."""


def without_a_hub_do_not_wait() -> None:
    """Where the hub does not answer, keep its client from trying again and again: what is in the cache is there."""
    place = os.environ.get("HF_ENDPOINT", "https://huggingface.co")
    if os.environ.get("HF_HUB_OFFLINE") or not place.startswith("http"):
        return
    try:
        urllib.request.urlopen(place, timeout=PATIENCE).close()  # noqa: S310
    except urllib.error.HTTPError:
        pass
    except OSError:
        os.environ.update(HF_HUB_OFFLINE="1", HF_DATASETS_OFFLINE="1")


def checkpoint(where: str, path: str, revision: str | None) -> str | None:
    """A model in a folder, in the hub's cache, or on the hub."""
    folder = Path(path).expanduser()
    if folder.is_dir():
        absent = [name for name in ("config.json", "tokenizer_config.json") if not (folder / name).is_file()]
        if absent:
            return f"{where}: {folder} has no {' and no '.join(absent)}; name a folder as save_pretrained writes it"
        return None
    if _looks_local(path):
        return f"{where}: there is no folder {path}; correct the path, or name a model of the hub (owner/name)"
    return hub(where, path, "model", revision)


def conversations(source: str, revision: str | None) -> str | None:
    """Conversations in a file or folder, in the hub's cache, or on the hub."""
    place = Path(source).expanduser()
    if place.exists():
        return None
    if _looks_local(source):
        return f"data.source: there is no {source}; correct the path, or name a data set of the hub (owner/name)"
    return hub("data.source", source, "dataset", revision)


def _looks_local(path: str) -> bool:
    return path.startswith((".", "~", "/")) or path.count("/") > 1


def hub(where: str, name: str, kind: Literal["model", "dataset"], revision: str | None = None) -> str | None:
    """A model or data set that is in the cache, or that the hub would give."""
    from huggingface_hub import HfApi, snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    try:
        snapshot_download(name, repo_type=kind, revision=revision, local_files_only=True)
        return None
    except HFValidationError:
        return f"{where}: '{name}' is no name of the hub (owner/name), and no folder; correct it"
    except (LocalEntryNotFoundError, OSError):
        pass
    try:
        HfApi().repo_info(name, repo_type=kind, revision=revision, timeout=PATIENCE)
        HfApi().auth_check(name, repo_type=kind)
    except Exception as error:  # whatever it is, the user is to hear of it with everything else
        return f"{where}: {_hub_trouble(name, kind, revision, error)}"
    return None


def _hub_trouble(name: str, kind: str, revision: str | None, error: Exception) -> str:
    from huggingface_hub import errors

    place = f"https://huggingface.co/{'datasets/' if kind == 'dataset' else ''}{name}"
    if isinstance(error, errors.GatedRepoError):
        return f"{name} is gated; accept its terms at {place}, and set HF_TOKEN to a token of that account"
    if isinstance(error, errors.RevisionNotFoundError):
        return f"{name} has no revision '{revision}'; {place}/commits lists them"
    if isinstance(error, errors.RepositoryNotFoundError):
        return f"the hub has no {kind} {name}, or it is private; correct the name, or set HF_TOKEN"
    known = isinstance(error, errors.OfflineModeIsEnabled) or not str(error).strip()
    why = "" if known else f" ({str(error).strip().splitlines()[0][:200]})"
    return f"{name} is not on this machine, and the hub does not answer{why}; connect, or give a folder as the path"


def endpoint(where: str, url: str, api_key_env: str | None) -> str | None:
    """An OpenAI-protocol endpoint that answers, and the key for it in the environment."""
    key = os.environ.get(api_key_env) if api_key_env else None
    if api_key_env and not key:
        return f"{where}: the environment variable {api_key_env} is not set; `export {api_key_env}=...`"
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    asked = urllib.request.Request(f"{url.rstrip('/')}/models", headers=headers)  # noqa: S310
    try:
        with urllib.request.urlopen(asked, timeout=PATIENCE):  # noqa: S310
            return None
    except urllib.error.HTTPError as error:
        if error.code in (401, 403):
            with_what = f"the key in {api_key_env}" if key else "a request without a key; set api_key_env"
            return f"{where}: {url} refuses {with_what} (HTTP {error.code})"
        return None if error.code < 500 else f"{where}: {url} answers with HTTP {error.code}; try again later"
    except (OSError, ValueError) as error:
        why = str(getattr(error, "reason", error))
        return f"{where}: {url} does not answer ({why}); start it, or correct the url"
