"""An ssh server on loopback that lets this user in with one key, and a cluster file that leads there."""

import contextlib
import getpass
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import yaml

LACKING = [name for name in ("ssh", "ssh-keygen", "rsync") if not shutil.which(name)]
SSHD = shutil.which("sshd", path="/usr/sbin:/usr/bin:/usr/local/sbin")
WHY_NOT = f"needs {', '.join([*LACKING, *([] if SSHD else ['sshd'])])}" if LACKING or not SSHD else ""

RELAY = """\
import os, socket, sys, threading
there = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
def up():
    while said := os.read(0, 65536):
        there.sendall(said)
    there.shutdown(socket.SHUT_WR)
threading.Thread(target=up, daemon=True).start()
while said := there.recv(65536):
    os.write(1, said)
"""
"""Takes ssh to another port than 22, which no cluster file can name."""


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


@contextlib.contextmanager
def cluster_file(folder: Path, dashboard: int = 8265, store: int = 6379) -> Iterator[Path]:
    """A server, and the file of an on-premise cluster whose head is this machine, with a home of its own (`home`)."""
    for name in ("host", "key"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)], check=True)
    shutil.copy(folder / "key.pub", folder / "allowed")
    (folder / "relay.py").write_text(RELAY)
    (folder / "home").mkdir()
    port = free_port()
    settings = {
        **{"ListenAddress": "127.0.0.1", "Port": port, "HostKey": folder / "host", "PidFile": folder / "pid"},
        **{"AuthorizedKeysFile": folder / "allowed", "StrictModes": "no", "UsePAM": "no"},
        "ForceCommand": f'export HOME={folder}/home; cd; exec sh -c "$SSH_ORIGINAL_COMMAND"',
    }
    (folder / "sshd_config").write_text("".join(f"{name} {value}\n" for name, value in settings.items()))
    Path("/run/sshd").mkdir(exist_ok=True)
    server = subprocess.Popen([str(SSHD), "-D", "-e", "-f", str(folder / "sshd_config")], stderr=subprocess.DEVNULL)
    try:
        _until_up(port)
        yield _file(
            folder, f"{sys.executable} {folder / 'relay.py'} {port}", f"--port={store} --dashboard-port={dashboard}"
        )
    finally:
        server.terminate()
        server.wait(10)


def _file(folder: Path, way: str, ports: str) -> Path:
    said = {
        "cluster_name": folder.name,
        "provider": {"type": "local", "head_ip": "127.0.0.1", "worker_ips": []},
        "auth": {
            "ssh_user": getpass.getuser(),
            "ssh_private_key": str(folder / "key"),
            "ssh_proxy_command": way,
        },
        "head_start_ray_commands": [f"ray start --head {ports}"],
    }
    (folder / "cluster.yaml").write_text(yaml.safe_dump(said))
    return folder / "cluster.yaml"


def _until_up(port: int) -> None:
    until = time.monotonic() + 30
    while time.monotonic() < until:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
            return
    raise AssertionError("no ssh server came up")
