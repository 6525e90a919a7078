"""How many replicas serve, what each of them takes, and how much may wait: as options of Ray Serve's deployments.

Serve's own autoscaler acts on them. A lone replica of each base, where no more are wanted, needs no scaling: its door
holds it. Where replicas come and go, doors hold no model, so that they are there when no replica is.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ray.serve.config import AutoscalingConfig, BackpressureConfig
from ray.serve.schema import LoggingConfig

BARE: Mapping[str, Any] = {"num_replicas": 2, "ray_actor_options": {"num_cpus": 0}}
"""Doors without a model: one goes on where the other dies."""
EVERYTHING = 100_000
"""More requests than a machine has connections."""


@dataclass(frozen=True)
class Scale:
    """The replicas of each base."""

    least: int = 1
    most: int = 1
    target: int = 192
    "Requests in flight that a replica should have; more of them call for another one."
    idle_s: float = 60
    "Seconds after which a replica goes that is not needed."
    cpus: float = 1
    gpus: float = 0
    "Of each replica: a part of one, or several, among which its weights are parted (tensor parallel)."
    at_once: int = 1024
    "Requests that a lone replica takes in; those beyond the engine's rows wait inside it."
    waiting: int = 2048
    "Requests that wait to be taken in; who comes after them is sent away for a second."

    @property
    def fixed(self) -> bool:
        """Whether there is one replica of each base at all times."""
        return self.least == self.most == 1


def lone(scale: Scale) -> dict[str, Any]:
    """A replica that is always there, with its engine."""
    return {**_common(scale), **_place(scale), "max_ongoing_requests": scale.at_once}


def door(scale: Scale, place: Mapping[str, Any]) -> dict[str, Any]:
    """A door with a lone replica's options, or BARE doors in front of replicas that come and go.

    Serve hands over whatever comes: a door itself sends away what is more than may wait, and says so in the protocol.
    """
    return {**_common(scale), **place, "max_ongoing_requests": EVERYTHING, "max_queued_requests": EVERYTHING}


def scaled(scale: Scale) -> dict[str, Any]:
    """Replicas that come and go. One that has twice its target sends what comes to others, adapter at hand or not."""
    grow = AutoscalingConfig(
        min_replicas=scale.least,
        max_replicas=scale.most,
        target_ongoing_requests=scale.target,
        upscale_delay_s=2,
        downscale_delay_s=scale.idle_s,
        look_back_period_s=12,
    )
    many = {"autoscaling_config": grow, "max_ongoing_requests": 2 * scale.target}
    return {**_common(scale), **_place(scale), **many}


def _common(scale: Scale) -> dict[str, Any]:
    return {
        "max_queued_requests": scale.waiting,
        "backpressure_config": BackpressureConfig(status_code=429, retry_after_s=1),
        "health_check_timeout_s": 120,
        "graceful_shutdown_timeout_s": 30,
        "graceful_shutdown_wait_loop_s": 0.5,
        "logging_config": LoggingConfig(enable_access_log=False),
    }


def bundles(scale: Scale) -> list[dict[str, float]]:
    """What a replica reserves: several GPUs are one each for the engine's own workers."""
    others = ({"GPU": 1.0} for _ in range(1, int(scale.gpus)))
    return [{"CPU": scale.cpus, "GPU": min(1.0, scale.gpus)}, *others]


def _place(scale: Scale) -> dict[str, Any]:
    """The same as options. Several GPUs are a placement group."""
    if scale.gpus <= 1:
        return {"ray_actor_options": {"num_cpus": scale.cpus, "num_gpus": scale.gpus}}
    group = {"placement_group_bundles": bundles(scale), "placement_group_strategy": "PACK"}
    return {"ray_actor_options": {"num_cpus": scale.cpus}, **group}
