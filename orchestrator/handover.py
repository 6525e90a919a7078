"""Stages hand cores and GPUs to one another: each begins once what it needs is free, and none waits for ever.

Ray places everything. What is looked at here is whether it ever can, and whether whoever had the GPUs before has left
their memory too.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence

import ray
from ray.util.placement_group import PlacementGroup, placement_group, remove_placement_group
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from . import cluster, preflight_machine
from .errors import WarmthError

Bundle = Mapping[str, float]
"""What is reserved together on one machine: so many `CPU`, so many `GPU`."""

PATIENCE, PATIENCE_IF_JOINED = 120.0, 1800.0
"""Seconds to wait for room: on a machine of our own, and on a cluster where others work and that may have to grow."""
MEMORY_S = 60.0
"""Seconds to wait for memory that nobody should have any more."""
LEFT_GB = 1.0
"""Memory in use on a GPU that nobody has any more: what CUDA and the screen take."""


def make_sure(bundles: Sequence[Bundle], what: str, say: Callable[[str], None], patience: float | None = None) -> None:
    """Wait until there is room for all of these at once, the memory of their GPUs included.

    It is let go of again: whoever calls takes it. Raises WarmthError naming a bundle that can never be had, or that
    could not be had within `patience` (seconds).
    """
    for bundle in bundles:
        check(bundle, what)
    if patience is None:
        patience = PATIENCE_IF_JOINED if cluster.joined() else PATIENCE
    group = placement_group([{kind: many for kind, many in each.items() if many} for each in bundles], strategy="PACK")
    try:
        if not group.wait(patience):
            raise WarmthError(
                f"resources: {what} takes {told(bundles)}, which was not free within {patience:.0f} s "
                f"({_free()}); see what else has it (`ray status`), or take less"
            )
        _see_memory_freed(group, what, say)
    finally:
        remove_placement_group(group)


def check(bundle: Bundle, what: str) -> None:
    """Raises WarmthError where no machine of the cluster can ever hold a bundle; one of others' making may grow."""
    if cluster.joined() or any(_holds(node, bundle) for node in _machines()):
        return
    largest = max(_machines(), key=lambda node: (node.get("GPU", 0), node.get("CPU", 0)))
    raise WarmthError(
        f"resources: {what} takes {told([bundle])} of one machine, and the largest here has {told([largest])}; lower "
        "gpus_per_trial or gpus_per_replica, or join a larger cluster (RAY_ADDRESS)"
    )


def told(bundles: Iterable[Bundle]) -> str:
    """Bundles in words: `2 x {CPU: 1, GPU: 1}`."""
    words = Counter(", ".join(f"{kind}: {each.get(kind, 0):g}" for kind in ("CPU", "GPU")) for each in bundles)
    return " and ".join(f"{many} x {{{each}}}" for each, many in words.items())


def _machines() -> list[Bundle]:
    return [node["Resources"] for node in ray.nodes() if node["Alive"]]


def _holds(machine: Bundle, bundle: Bundle) -> bool:
    return all(machine.get(kind, 0) >= many for kind, many in bundle.items())


def _free() -> str:
    free, whole = ray.available_resources(), ray.cluster_resources()
    return ", ".join(f"{free.get(kind, 0):g} of {whole.get(kind, 0):g} {kind} free" for kind in ("CPU", "GPU"))


def _see_memory_freed(group: PlacementGroup, what: str, say: Callable[[str], None]) -> None:
    """Processes that are gone from Ray's books may still be on their way out of a GPU's memory."""
    whole = [place for place, bundle in enumerate(group.bundle_specs) if bundle.get("GPU", 0) >= 1]
    until = time.monotonic() + MEMORY_S
    while whole and (used := max(_used_gb(group, whole), default=0.0)) > LEFT_GB:
        if time.monotonic() > until:
            say(f"{what}: {used:.1f} GB of a GPU's memory are still in use by others")
            return
        time.sleep(1)


def _used_gb(group: PlacementGroup, places: Iterable[int]) -> list[float]:
    """GB in use on the GPUs of these bundles, as their machines say."""
    strategies = [PlacementGroupSchedulingStrategy(group, placement_group_bundle_index=place) for place in places]
    looks = [_look.options(num_gpus=1, scheduling_strategy=each).remote() for each in strategies]
    return [used for each in ray.get(looks) for used in each]


@ray.remote(num_cpus=0)
def _look() -> list[float]:
    return preflight_machine.used_gb([str(gpu) for gpu in ray.get_gpu_ids()])
