"""The run's own endpoint: up for the length of a block, with the models that are needed there."""

import contextlib
import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from . import cluster, engine_choice, filing, models
from .cluster import Room
from .config import Resources, Study
from .plan import Unit
from .progress import Display
from .settings import SERVED, EngineName
from .settings_serving import Replicas
from .store import Store

if TYPE_CHECKING:
    from .serve_scaling import Scale


@dataclass(frozen=True)
class Opening:
    """To whom the endpoint is open: only this machine, unless it is said otherwise."""

    host: str = "127.0.0.1"
    key: str | None = field(default=None, repr=False)
    "What whoever asks has to show."
    about: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    "What the list of models says about each, by its name."


PRIVATE = Opening()
FEW = 128
"""Requests in flight that call for no second replica, however few of them an engine answers at once."""


def needed(study: Study, units: Sequence[Unit]) -> set[str]:
    """The models that these units ask, and those that judge."""
    asked = {unit.subject.model.name for unit in units}
    return asked | {str(each.model) for each in study.judges if each.url == SERVED}


@contextlib.contextmanager
def serving(
    study: Study,
    store: Store,
    names: Collection[str],
    display: Display,
    opening: Opening = PRIVATE,
    room: Room | None = None,
) -> Iterator[str]:
    """Serve the models of these names, but for hosted ones; gives the address, empty if there is nothing to serve.

    It is kept to a part of the cluster where one is given. Raises WarmthError where its place cannot be had.
    """
    from . import handover, serve, serve_end, serve_scaling
    from .serve_access import Access

    served = [model for model in study.models if model.name in names and not model.hosted]
    if not served:
        yield ""
        return
    bases = {model.name: models.chat_model(model) for model in served}
    precisions, scale = {model.name: model.precision for model in served}, scale_of(study.resources, len(bases), room)
    engine, application = engine_of(study, names), f"{serve.NAME}-{study.name}"
    display.say(f"serve: starting {', '.join(bases)} ({engine})")
    least = max(1, scale.least) * len(bases)
    handover.make_sure(serve_scaling.bundles(scale) * least, "serving", display.say)
    filing.file_engine(store, engine_choice.named(engine))
    url = serve.deploy(
        bases,
        str(store.path("adapters")),
        host=opening.host,
        port=study.resources.port,
        precisions=precisions,
        engine=engine,
        rows=study.resources.rows,
        scale=scale,
        access=Access.by(opening.key),
        about=opening.about,
        certificates=str(store.path("certificates")),
        application=application,
    )
    try:
        with serve_end.with_this_process(application) if cluster.joined() else contextlib.nullcontext():
            yield url
    finally:
        serve.shut_down(application)


def engine_of(study: Study, names: Collection[str]) -> EngineName:
    """What serves the models of these names. Raises WarmthError where it cannot."""
    served = [model for model in study.models if model.name in names and not model.hosted]
    gpus = scale_of(study.resources, max(1, len(served))).gpus
    return engine_choice.chosen(study.resources.engine, gpus, [model.precision for model in served])


def has_place(wanted: Resources, room: Room, bases: int) -> bool:
    """Whether the engines of so many bases have their place in some room, and a core for all that is around them."""
    gpus = wanted.gpus_per_replica or min(1, cluster.gpus())
    return room.cpus >= bases + 1 and room.slots(gpus) >= bases


def scale_of(wanted: Resources, bases: int, room: Room | None = None) -> "Scale":
    """The replicas of each base, within what there is room for; only a cluster of others' making may grow.

    If the study does not say how many: one, and more while workers ask more than one should have in flight.
    """
    from .serve_scaling import Scale

    there = room or cluster.whole()
    target = wanted.target_in_flight or max(FEW, 2 * wanted.rows)
    gpus = wanted.gpus_per_replica or _part(there.gpus, bases)
    replicas = wanted.replicas or Replicas(max=math.ceil(wanted.workers * wanted.in_flight / target))
    most = replicas.max if cluster.joined() and room is None else there.slots(gpus) // bases
    return Scale(
        least=replicas.min,
        most=max(replicas.min, min(replicas.max, most), 1),
        target=target,
        idle_s=replicas.idle_s,
        cpus=_part(there.cpus, bases * max(1, replicas.min)),
        gpus=gpus,
    )


def _part(whole: float, among: int) -> float:
    """One, or less where there is not one for each: in the ten thousandths that Ray counts in, none too many."""
    return min(1.0, int(10_000 * whole / among) / 10_000)
