"""A study on a cluster before there is one: which machines come, how long they stay, about what that costs. Pure.

A model goes to the smallest machine of the file whose GPUs hold it, spot before on demand. A stage keeps as many
machines as its trials or engines ask for and the file allows; stages follow one another. Every machine first starts,
installs and loads weights, and at the end stands idle until the autoscaler ends it. What is not known is None.
"""

import math
from collections.abc import Iterable
from typing import Any, NamedTuple

from . import clouds, clouds_prices, sizes
from .clouds_prices import Machine, Range
from .config import Study
from .documents import Document
from .estimate import STAGES, Estimate, known
from .settings_subjects import Model

Kind = clouds.NodeType


class Placed(NamedTuple):
    """A model and the kind of machine that it goes to."""

    model: Model
    kind: Kind
    machine: Machine


class Stay(NamedTuple):
    """What one kind of machine does in one stage."""

    machines: int
    hours: float


def figures(estimate: Estimate, document: Document) -> dict[str, Any]:
    """Machines, hours and dollars of a study on the cluster that a file describes; for people and `--json` alike."""
    study, prices = estimate.study, clouds_prices.on_file()
    kinds = clouds.node_types(document.content)
    placed, nowhere = _placed(study, kinds)
    stays = _stays(estimate, placed, _most(document.content))
    idle = _idle_minutes(document.content)
    nodes = [_node(kind, placed, stays[kind.name], idle) for kind in kinds if kind.name in stays]
    hours = _hours(nodes, stays)
    heads = [_unworked(kind, hours) for kind in kinds if kind.head]
    return known(
        {
            "file": document.file,
            "nodes": nodes,
            "head": next(iter(heads), None),
            "without_gpu": next((_unworked(kind, None) for kind in kinds if not (kind.gpus or kind.head)), None),
            "hours": hours,
            "usd": _sum(each["usd"] for each in [*nodes, *heads]),
            "usd_without_spot": _sum(each["usd_without_spot"] for each in [*nodes, *heads]),
            "settings": _settings(study, nodes, placed),
            "does_not_fit": nowhere,
            "fill_in": clouds.fill_in(document),
            "prices": {"taken": prices.taken.isoformat(), "where": prices.where, "spot_share": prices.spot_share},
        }
    )


def _hours(nodes: list[dict[str, Any]], stays: dict[str, dict[str, Stay]]) -> float | None:
    """From asking for machines to the last answer; None where no GPU works."""
    if not nodes:
        return None
    stages = (_longest(stay[stage].hours for stay in stays.values()) for stage in STAGES)
    return _longest(node["ready_minutes"] for node in nodes) / 60 + sum(stages)


def _settings(study: Study, nodes: list[dict[str, Any]], placed: list[Placed]) -> list[str]:
    """What a run has to be told of a cluster that has no GPU yet: it asks for those that are described."""
    if not nodes:
        return []
    gpus = sum(node["machines"] * node["gpus"] for node in nodes)
    memory = min(each.machine.memory_gb or study.resources.gpu_memory_gb for each in placed)
    replica = study.resources.gpus_per_replica or 1
    each = {"gpus": gpus, "gpu_memory_gb": memory, "gpus_per_replica": replica}
    return [f"resources.{name}={value:g}" for name, value in each.items()]


def _longest(times: Iterable[float]) -> float:
    """The longest; unknown if one of them is, which `max` would pass over."""
    each = list(times)
    return math.nan if any(map(math.isnan, each)) else max(each)


def _placed(study: Study, kinds: list[Kind]) -> tuple[list[Placed], list[str]]:
    """Each model of ours with weights and the machine it goes to; for those that go nowhere, why."""
    own = [model for model in study.models if model.path and not model.hosted] if kinds else []
    found = [_smallest(study, model, kinds) for model in own]
    return [each for each in found if isinstance(each, Placed)], [each for each in found if isinstance(each, str)]


def _smallest(study: Study, model: Model, kinds: list[Kind]) -> Placed | str:
    """As Ray's autoscaler would have it: the machine that is used best, and of two alike the one of higher priority."""
    why = f"models: {model.name}: no kind of machine in the file has a GPU and may come (max_workers)"
    usable = (kind for kind in kinds if kind.gpus and kind.most and not kind.head)
    for kind in sorted(usable, key=lambda kind: (kind.gpus, -kind.priority)):
        machine = clouds_prices.on_file().machine(kind)
        misfit = sizes.too_large(study, model, machine.memory_gb or study.resources.gpu_memory_gb, kind.gpus)
        if misfit is None:
            return Placed(model, kind, machine)
        why = f"{misfit} ({kind.name})"
    return why


def _stays(estimate: Estimate, placed: list[Placed], most: int) -> dict[str, dict[str, Stay]]:
    """By kind of machine and stage: how many, how long."""
    by_kind: dict[str, list[Placed]] = {}
    for each in placed:
        by_kind.setdefault(each.kind.name, []).append(each)
    return {name: {stage: _stay(estimate, mine, stage, most) for stage in STAGES} for name, mine in by_kind.items()}


def _stay(estimate: Estimate, mine: list[Placed], stage: str, most: int) -> Stay:
    """GPU hours over the GPUs that are busy at once: those that are asked for, or all that the file allows."""
    kind, machine = mine[0].kind, mine[0].machine
    hours = sum(estimate.gpu_hours_of(each.model)[stage] for each in mine) / machine.speed
    if not hours:
        return Stay(0, 0.0)
    wanted = sum(_gpus_at_once(estimate, each, stage) for each in mine)
    busy = min(wanted, kind.gpus * max(1, min(kind.most, most)))
    return Stay(math.ceil(busy / kind.gpus), hours / busy)


def _gpus_at_once(estimate: Estimate, placed: Placed, stage: str) -> float:
    """What all trials of a model, or its engines, would take if there were room."""
    study, kind = estimate.study, placed.kind
    if stage == "training":
        memory = placed.machine.memory_gb or study.resources.gpu_memory_gb
        trials = sum(point.model == placed.model for point in estimate.trials)
        return trials * sizes.gpus_per_trial(study, placed.model, kind.gpus, memory)
    return engines(study) * (study.resources.gpus_per_replica or 1)


def engines(study: Study) -> int:
    """How many engines of a base are up while it is asked: as set, or by what the workers have in flight."""
    asked = study.resources
    if asked.replicas is not None:
        return asked.replicas.max
    each = asked.target_in_flight or max(128, 2 * asked.rows)
    return max(1, math.ceil(asked.workers * asked.in_flight / each))


def _node(kind: Kind, placed: list[Placed], stay: dict[str, Stay], idle: float) -> dict[str, Any]:
    """One kind of machine, as it is printed: how many, each one's way until it works, its hours and dollars."""
    prices = clouds_prices.on_file()
    mine = [each for each in placed if each.kind.name == kind.name]
    machine, count = mine[0].machine, max(each.machines for each in stay.values())
    weights = sum(2 * (sizes.parameters(each.model) or math.nan) for each in mine)
    download = weights / prices.download_gb_s / 60
    ready = machine.boot_minutes + prices.install_minutes + download
    hours = sum(each.machines * each.hours for each in stay.values()) + count * (ready + idle) / 60
    return {
        **_named(kind, machine),
        "models": [each.model.name for each in mine],
        "machines": count,
        "stages": {name: each._asdict() for name, each in stay.items() if each.hours},
        "boot_minutes": machine.boot_minutes,
        "install_minutes": prices.install_minutes,
        "download_gb": weights,
        "download_minutes": download,
        "ready_minutes": ready,
        "ready_usd": _usd(machine.usd_hour, ready / 60),
        "idle_minutes": idle,
        "machine_hours": hours,
        "usd": _usd(machine.usd_hour, hours),
        "usd_without_spot": _usd(prices.machine(kind._replace(spot=False)).usd_hour, hours),
    }


def _unworked(kind: Kind, hours: float | None) -> dict[str, Any]:
    """A machine that no GPU hours are counted on: the head, there all the time, or one with processors alone."""
    machine = clouds_prices.on_file().machine(kind)
    spent = None if hours is None else _usd(machine.usd_hour, hours)
    return {**_named(kind, machine), "usd": spent, "usd_without_spot": spent}


def _named(kind: Kind, machine: Machine) -> dict[str, Any]:
    return {
        "kind": kind.name,
        "machine": kind.machine,
        "spot": kind.spot,
        "gpus": kind.gpus,
        "gpu": machine.gpu,
        "usd_hour": machine.usd_hour,
    }


def _usd(usd_hour: Range | None, hours: float) -> Range | None:
    return None if usd_hour is None or math.isnan(hours) else (usd_hour[0] * hours, usd_hour[1] * hours)


def _sum(parts: Iterable[Range | None]) -> Range | None:
    """Lowest with lowest and highest with highest; None if any of it is not known, or there is nothing."""
    each = list(parts)
    if not each or None in each:
        return None
    return sum(part[0] for part in each if part), sum(part[1] for part in each if part)


def _most(content: dict[str, Any]) -> int:
    """Machines of all kinds together; Kubernetes' manifests set no such number."""
    return int(content.get("max_workers", 2 if "provider" in content else 2**31))


def _idle_minutes(content: dict[str, Any]) -> float:
    """How long a machine stands idle before it is ended; Ray's and KubeRay's own numbers where a file has none."""
    if "provider" in content:
        return float(content.get("idle_timeout_minutes", 5))
    return float((content["spec"].get("autoscalerOptions") or {}).get("idleTimeoutSeconds", 60)) / 60
