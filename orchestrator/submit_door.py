"""The way to a cluster's job server: through an ssh tunnel to its head, or an address that is reachable already."""

import contextlib
import json
import os
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlsplit

from .errors import WarmthError
from .head import Head

if TYPE_CHECKING:
    from ray.job_submission import JobSubmissionClient

SECONDS = 60
"""Longest that the job server may say nothing to a request; then the connection counts as lost."""

TOKEN, TOKEN_FILE, DEFAULT_FILE = "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH", "~/.ray/auth_token"
"""Where Ray looks for a cluster's token, in this order."""


class Lost(Exception):
    """The connection is lost, for now; what runs on the cluster goes on."""


class Door:
    """A way to a job server, opened again when it is lost. Use as a context."""

    def __init__(self, head: Head | None, address: str | None, port: int | None = None) -> None:
        """To the job server at an `address`, or that of a `head`, or to another `port` of its loopback."""
        self._head, self._ssh = head, None if address else _free_port()
        self._port = port or (head.dashboard if head else 0)
        self._tunnel: subprocess.Popen[str] | None = None
        self.address = (address or f"http://127.0.0.1:{self._ssh}").rstrip("/")

    def __enter__(self) -> Self:
        self.open()
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    def open(self) -> None:
        """See that the way is open. Raises WarmthError where it never will be, Lost where it may be later."""
        if self._head is None or (self._tunnel and self._tunnel.poll() is None):
            return
        self._close()
        to = f"127.0.0.1:{self._ssh}:127.0.0.1:{self._port}"
        command = [*self._head.ssh(), "-o", "ExitOnForwardFailure=yes", "-N", "-L", to, self._head.where]
        self._tunnel = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        while not _listens(self._ssh or 0):
            if self._tunnel.poll() is not None:
                raise self._refused()
            time.sleep(0.05)

    def _refused(self) -> Exception:
        assert self._head
        assert self._tunnel
        assert self._tunnel.stderr
        said = self._tunnel.stderr.read().strip()
        if refused := self._head.explain(said):
            return WarmthError(refused)
        return Lost(
            f"{self._head.where}: ssh does not get there ({said.splitlines()[-1] if said else 'it says nothing'})"
        )

    def _close(self) -> None:
        if self._tunnel:
            self._tunnel.terminate()
            self._tunnel.wait()
            if self._tunnel.stderr:
                self._tunnel.stderr.close()


def client(address: str) -> "JobSubmissionClient":
    """Ray's client of a job server. Raises WarmthError if none answers, or its token or version is not ours."""
    headers = _headers(address)
    import ray

    try:
        with _no_other_address():
            found = _patient()(address, headers=headers)
        theirs = found._do_request("GET", "/api/version").json()["ray_version"]
    except RuntimeError as error:
        raise WarmthError(f"{address}: no job server of Ray's answers there: {error}") from error
    if theirs != ray.__version__:
        raise WarmthError(
            f"{address}: Ray {theirs} runs on the cluster, and this program needs {ray.__version__}; let the cluster's "
            f"set-up install ray=={ray.__version__} (requirements/), and start it anew: `ray up` with its file"
        )
    return found


def _patient() -> type["JobSubmissionClient"]:
    """Ray's client, which never waits for ever: a machine that slept finds its connections dead, and nobody says so."""
    from ray.exceptions import AuthenticationError
    from ray.job_submission import JobSubmissionClient

    class Patient(JobSubmissionClient):
        def _do_request(self, *request: Any, **how: Any) -> Any:
            try:
                with lost():
                    answer = super()._do_request(*request, timeout=SECONDS, **how)
            except AuthenticationError as error:
                raise WarmthError(
                    f"{self._address}: the cluster does not take the token that is here ({token()[1]}); put the "
                    "cluster's own there: the cluster file's file_mounts say which file it was given"
                ) from error
            if answer.status_code >= 500:
                raise Lost(f"{self._address}: {answer.text.strip() or answer.status_code}")
            return answer

    return Patient


@contextlib.contextmanager
def lost() -> Iterator[None]:
    """Every way in which a connection can fail is one: Lost."""
    import requests

    try:
        yield
    except (ConnectionError, requests.exceptions.RequestException) as error:
        raise Lost(str(error)) from error


def _headers(address: str) -> dict[str, str]:
    """What whoever asks has to show. Raises WarmthError if that is not here, or the cluster asks for nothing."""
    asked, (mine, _) = _wants_token(address), token()
    if asked and not mine:
        raise WarmthError(
            f"{address}: the cluster wants its token, and there is none here; put it into {DEFAULT_FILE}, or name its "
            f"file in {TOKEN_FILE} (`ray get-auth-token --generate` makes one before `ray up`)"
        )
    if not asked and os.environ.get("RAY_AUTH_MODE") == "token":
        raise WarmthError(
            f"{address}: RAY_AUTH_MODE=token is set here, but the cluster takes commands from anybody; start it with "
            "RAY_AUTH_MODE=token (in both start commands of its file), or take the setting away here"
        )
    return {"Authorization": f"Bearer {mine}"} if asked and mine else {}


def _wants_token(address: str) -> bool:
    """Whether a cluster answers only those who show its token; it says so to everybody."""
    if urlsplit(address).scheme not in ("http", "https"):
        raise WarmthError(f"{address}: not the address of a job server; it looks like http://127.0.0.1:8265")
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with direct.open(f"{address}/api/authentication_mode", timeout=SECONDS) as answer:
            return bool(json.load(answer)["authentication_mode"] == "token")
    except (ValueError, LookupError, TypeError, urllib.error.HTTPError) as error:
        raise WarmthError(f"{address}: something answers there, but it is no job server of Ray's ({error})") from error
    except OSError as error:
        raise Lost(f"{address}: nobody answers there ({getattr(error, 'reason', error)})") from error


def token() -> tuple[str, str]:
    """The token that is here, and where."""
    if given := os.environ.get(TOKEN, "").strip():
        return given, TOKEN
    file = Path(os.environ.get(TOKEN_FILE) or DEFAULT_FILE).expanduser()
    return (file.read_text(encoding="utf-8").strip() if file.is_file() else ""), str(file)


@contextlib.contextmanager
def _no_other_address() -> Iterator[None]:
    """Ray takes RAY_ADDRESS for the job server, whatever its client is told."""
    names = ("RAY_API_SERVER_ADDRESS", "RAY_ADDRESS")
    kept = {name: os.environ.pop(name) for name in names if name in os.environ}
    try:
        yield
    finally:
        os.environ.update(kept)


def _free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


def _listens(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False
