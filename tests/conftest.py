"""What all tests share: one Ray, one cache of short lab models, no network beyond loopback."""

import ipaddress
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from mini import SETTINGS

if TYPE_CHECKING:
    from orchestrator import Study
    from orchestrator.findings import Findings

for _threads in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_threads] = "1"
os.environ.update(HF_HUB_OFFLINE="1", HF_DATASETS_OFFLINE="1", RAY_ADDRESS="")
os.environ["PYTHONPATH"] = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]).strip(
    os.pathsep
)


def _on_loopback(address: Any) -> bool:
    host = address[0] if isinstance(address, tuple) else None
    if host in (None, "localhost", ""):
        return True
    try:
        return ipaddress.ip_address(str(host).split("%")[0]).is_loopback or host == own_address()
    except ValueError:
        return False


def own_address() -> str:
    """This machine's own address, which Ray's processes call one another by."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            _connect(probe, ("10.255.255.255", 1))
        except OSError:
            return "127.0.0.1"
        return str(probe.getsockname()[0])


_connect = socket.socket.connect


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def connect(self: socket.socket, address: Any) -> None:
        if not _on_loopback(address):
            raise AssertionError(f"a test tried to reach {address}, beyond this machine")
        _connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", connect)


@pytest.fixture(scope="session", autouse=True)
def _cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """The tests' own cache, unless one is given: short lab models are built there once per run."""
    if "WARMTH_CACHE" not in os.environ:
        os.environ["WARMTH_CACHE"] = str(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="session")
def ray_session() -> Iterator[None]:
    """One Ray for the whole test run."""
    from orchestrator import cluster
    from orchestrator.config import Resources

    with cluster.running(Resources(cpus=4)):
        yield


@pytest.fixture(scope="session")
def finished(ray_session: None, tmp_path_factory: pytest.TempPathFactory) -> "tuple[Study, Findings]":  # noqa: ARG001
    """A study that has been run to its end, once for all tests."""
    from orchestrator import Study

    study = Study(**SETTINGS, resources={"runs": str(tmp_path_factory.mktemp("runs")), "rows": 16})
    return study, study.run()


@pytest.fixture
def root() -> Path:
    """The project's folder."""
    return Path(__file__).resolve().parent.parent
