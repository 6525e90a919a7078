"""What a cluster consists of at present: its machines, those that come, what is used of them, and what waits for room.

Asked of Ray's global control store, as `ray status` does, without joining the cluster.
"""

import os
from collections.abc import Iterable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

from .head import Head
from .submit_door import Door, Lost, token

COUNTED = ("CPU", "GPU")


@dataclass(frozen=True)
class Node:
    """A machine, or several alike that are still to come; `used` and `total` cores and GPUs are by their names."""

    kind: str
    address: str
    state: str
    used: dict[str, float]
    total: dict[str, float]
    count: int = 1
    why: str = ""


@dataclass(frozen=True)
class Waiting:
    """So many requests for such room that no machine has yet."""

    count: int
    room: dict[str, float]


@dataclass(frozen=True)
class ClusterState:
    """A cluster at one moment; `error` says why nothing is known of it."""

    nodes: Sequence[Node] = ()
    waiting: Sequence[Waiting] = ()
    error: str = ""

    def sum(self, name: str) -> tuple[float, float]:
        """How much of a resource is used, and how much there is."""
        return sum(each.used.get(name, 0) for each in self.nodes), sum(each.total.get(name, 0) for each in self.nodes)


def look(address: str | None = None, head: Head | None = None) -> ClusterState:
    """The state of the cluster of a `head`, or at the `address` that RAY_ADDRESS has (`auto` is this machine's)."""
    if token()[0]:  # before Ray is imported, which looks only then
        os.environ.setdefault("RAY_AUTH_MODE", "token")
    way = Door(head, None, head.store) if head else nullcontext()
    try:
        with way as door:
            return _ask(door.address.removeprefix("http://") if door else _found(str(address)))
    except (Lost, ConnectionError) as error:
        return ClusterState(error=str(error))


def _found(address: str) -> str:
    """Where the control store of a cluster is that RAY_ADDRESS names; a tunnel's end is where it is."""
    from ray._private.services import canonicalize_bootstrap_address

    return str(canonicalize_bootstrap_address(address) or address)


def _ask(address: str) -> ClusterState:
    from ray.autoscaler.v2.sdk import get_cluster_status
    from ray.exceptions import RayError

    try:
        return _told(get_cluster_status(address))
    except (RayError, ConnectionError, RuntimeError, ValueError) as error:
        return ClusterState(error=f"{address}: the cluster does not say ({str(error).splitlines()[0]})")


def _told(found: Any) -> ClusterState:
    here = [_node(each, "used") for each in found.active_nodes] + [_node(each, "idle") for each in found.idle_nodes]
    coming = [_node(each, "starting") for each in found.pending_nodes]
    lost = [_node(each, "failed") for each in found.failed_nodes]
    asked = [_launch(each, "asked for") for each in found.pending_launches]
    refused = [_launch(each, "cannot be had") for each in found.failed_launches]
    return ClusterState([*here, *coming, *asked, *refused, *lost], [*_waiting(found.resource_demands)])


def _node(node: Any, state: str) -> Node:
    usage = {each.resource_name: each for each in (node.resource_usage.usage if node.resource_usage else ())}
    there = state in ("used", "idle")
    return Node(
        kind=node.ray_node_type_name or "node",
        address=node.ip_address or "",
        state=state,
        used={name: usage[name].used for name in COUNTED if there and name in usage},
        total={name: usage[name].total for name in COUNTED if there and name in usage},
        why=(node.failure_detail or node.details or "") if not there else "",
    )


def _launch(launch: Any, state: str) -> Node:
    return Node(launch.ray_node_type_name, "", state, {}, {}, launch.count, launch.details or "")


def _waiting(demands: Any) -> Iterable[Waiting]:
    for demand in (*demands.placement_group_demand, *demands.ray_task_actor_demand):
        for each in demand.bundles_by_count:
            yield Waiting(each.count, dict(each.bundle))
