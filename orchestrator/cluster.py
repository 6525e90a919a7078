"""Ray, started or joined: one machine is a cluster of one."""

import contextlib
import logging
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from .config import Resources

ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S": "90",
    "RAY_SERVE_PROXY_HEALTH_CHECK_TIMEOUT_S": "90",
    "RAY_SERVE_ENABLE_DIRECT_INGRESS": "1",
    "RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": "0",
    "RAY_SERVE_RUN_USER_CODE_IN_SEPARATE_THREAD": "0",
    "RAY_SERVE_RUN_ROUTER_IN_SEPARATE_LOOP": "0",
    "RAY_SERVE_REPLICA_AUTOSCALING_METRIC_PUSH_INTERVAL_S": "2",
    "RAY_SERVE_HANDLE_AUTOSCALING_METRIC_PUSH_INTERVAL_S": "2",
    "RAY_SERVE_MULTIPLEXED_MODEL_ID_MATCHING_TIMEOUT_S": "0.2",
    "RAY_SERVE_REQUEST_PATH_LOG_BUFFER_SIZE": "1000",
    "RAY_SERVE_LOG_TO_STDERR": "0",
    "RAY_AIR_NEW_OUTPUT": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "TRANSFORMERS_VERBOSITY": "error",
}
"""Set before Ray starts, so that every worker inherits it: no phoning home, patient health checks, quiet workers.

Serve's replicas listen beside its proxy, for clients that know the way (`serve_shortcut`). Its request path in one
thread and its log in blocks save a tenth of the time of a short request."""


ACTORS_PER_CORE = 4


@contextlib.contextmanager
def running(resources: Resources) -> Iterator[None]:
    """Ray for the length of a block: the one that runs, the cluster that RAY_ADDRESS names, or one of our own."""
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    import ray

    if ray.is_initialized():
        yield
        return
    own = (
        {}
        if joined()
        else {
            "address": "local",  # not one that somebody has started on this machine
            "num_cpus": resources.cpus or os.cpu_count(),
            "object_store_memory": resources.object_store_mb * 2**20,
            "include_dashboard": False,
        }
    )
    ray.init(log_to_driver=False, logging_level=logging.ERROR, **own)
    try:
        yield
    finally:
        ray.shutdown()


def cpus() -> float:
    """The processor cores of the cluster that runs."""
    import ray

    return float(ray.cluster_resources().get("CPU", 1))


def gpus() -> float:
    """The GPUs of the cluster that runs."""
    import ray

    return float(ray.cluster_resources().get("GPU", 0))


def lent_gpus() -> float:
    """The GPUs of the cluster that somebody holds."""
    import ray

    return gpus() - float(ray.available_resources().get("GPU", 0))


@dataclass(frozen=True)
class Room:
    """Cores and GPUs of a cluster that something may take."""

    cpus: float
    gpus: float

    def without(self, taken: "Iterable[Room]") -> "Room":
        """What is left beside others."""
        rooms = list(taken)
        return Room(self.cpus - sum(each.cpus for each in rooms), self.gpus - sum(each.gpus for each in rooms))

    def slots(self, of_gpus: float = 1) -> int:
        """How many engines have their place here, each on so many GPUs, or on a core where the cluster has no GPU."""
        return max(0, int(self.gpus / (of_gpus or 1) if gpus() else self.cpus))

    def actors(self) -> int:
        """How many actors that mostly wait have their place here."""
        return int(ACTORS_PER_CORE * self.cpus)


def whole() -> Room:
    """All of the cluster that runs."""
    return Room(cpus(), gpus())


def slots(of_gpus: float = 1) -> int:
    """How many engines the cluster has room for, each on so many GPUs, or on a core where there is no GPU."""
    return max(1, whole().slots(of_gpus))


def joined() -> bool:
    """Whether this is a cluster of others' making, which may grow as it is asked for more."""
    return bool(os.environ.get("RAY_ADDRESS"))
