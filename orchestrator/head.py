"""The head of a cluster that `ray up` has made: where its cluster file says that it is, and how ssh gets there."""

import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from . import cache
from .errors import WarmthError

HOME = "warmth"
"""The folder on a head, in its user's home, under which relative paths lie: a study's `resources.runs` among them."""

PATIENCE = ("ConnectTimeout=15", "ServerAliveInterval=5", "ServerAliveCountMax=3")
"""A connection that is dead, because this machine slept or changed its network, is known to be within 15 seconds."""


@dataclass(frozen=True)
class Head:
    """A machine that ssh reaches."""

    cluster: str
    ip: str
    user: str | None = None
    key: str | None = None
    proxy: str | None = None
    dashboard: int = 8265
    store: int = 6379
    "Ports on its loopback: of the job server, and of Ray's global control store."
    container: str | None = None
    "The docker container that Ray runs in, if it does."

    @property
    def where(self) -> str:
        """The machine as ssh's arguments have it."""
        return f"{self.user}@{self.ip}" if self.user else self.ip

    @property
    def known(self) -> Path:
        """Where its host key is kept."""
        return cache.folder() / "known_hosts" / self.cluster

    def explain(self, said: str) -> str | None:
        """What ssh's complaint means, with the cure; None if it is no refusal."""
        if "Host key verification failed" in said:
            return (
                f"{self.where}: Host key verification failed: this is another machine than before; if the cluster was "
                f"made anew, delete {self.known}"
            )
        if "Permission denied" in said:
            return (
                f"{self.where}: Permission denied: the head does not take the key {self.key or 'of this user'}; "
                "auth.ssh_user and auth.ssh_private_key in the cluster file say who comes with which"
            )
        return None

    def ssh(self) -> list[str]:
        """The command that reaches it, without the machine. Its host key is kept, and has to stay the same."""
        self.known.parent.mkdir(parents=True, exist_ok=True)
        given = [
            "BatchMode=yes",
            "StrictHostKeyChecking=accept-new",
            f"UserKnownHostsFile={self.known}",
            *PATIENCE,
            *([f"ProxyCommand={self.proxy}"] if self.proxy else []),
            *(["IdentitiesOnly=yes"] if self.key else []),
        ]
        return ["ssh", *(part for each in given for part in ("-o", each)), *(["-i", self.key] if self.key else [])]


def of(file: Path) -> Head:
    """The head of the cluster in a file. Raises WarmthError if there is no such file, or no head is up."""
    said = _read(file)
    try:
        auth, docker = said.get("auth") or {}, said.get("docker") or {}
        key = auth.get("ssh_private_key")
        return Head(
            cluster=re.sub(r"[^\w.-]", "-", str(said["cluster_name"])),
            ip=_ip(file, said["provider"]),
            user=auth.get("ssh_user"),
            key=str(Path(key).expanduser()) if key else None,
            proxy=auth.get("ssh_proxy_command"),
            dashboard=_port(said, "dashboard-port", 8265),
            store=_port(said, "port", 6379),
            container=docker.get("container_name") if docker.get("image") or docker.get("head_image") else None,
        )
    except (KeyError, AttributeError, TypeError) as error:
        raise WarmthError(
            f"{file}: not a cluster file as `ray up` takes it; {error} is missing or no mapping"
        ) from error


def _read(file: Path) -> dict[str, Any]:
    try:
        said = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise WarmthError(f"{file}: cannot be read as a cluster file: {error}") from error
    if not isinstance(said, dict):
        raise WarmthError(f"{file}: not a cluster file as `ray up` takes it; it holds no settings")
    return said


def _port(said: dict[str, Any], option: str, otherwise: int) -> int:
    found = re.search(rf"--{option}[= ](\d+)", "\n".join(said.get("head_start_ray_commands") or []))
    return int(found[1]) if found else otherwise


def _ip(file: Path, provider: dict[str, Any]) -> str:
    """Where the head is: as an on-premise file says, or as Ray learns from the cloud."""
    if provider["type"] == "local" and provider.get("head_ip"):
        return str(provider["head_ip"])
    command = [sys.executable, "-m", "ray.scripts.scripts", "get-head-ip", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    lines = done.stdout.split()
    if done.returncode or not lines:
        why = (done.stderr.strip() or done.stdout.strip() or "nothing was said").splitlines()[-1]
        raise WarmthError(
            f"{file}: no head of this cluster is found ({why}); is it up (`ray up {file}`), and are the cloud's "
            "credentials on this machine?"
        )
    return lines[-1]
