"""Units of work shared among Ray actors. An actor that dies is started again and its units are done again."""

import inspect
import itertools
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

import ray

Unit = TypeVar("Unit")

RESTARTS = 3
"""How often an actor is started again. Its units are begun again as often as that takes: while a machine is gone and
nobody knows it yet, tries fail within seconds."""

DEPTH = 2
"""Units that an actor has at a time, so that none waits for the next one."""


def share(
    worker: type[Any],
    arguments: Sequence[Any],
    units: Iterable[Unit],
    count: int,
    done: Callable[[Unit, Any], None],
    cpus: float = 0,
    keys: Mapping[str, str] | None = None,
    gpus: float = 0,
) -> None:
    """Give every unit to `worker(*arguments).do(unit)` on one of `count` actors; call `done(unit, result)`.

    `keys` go into the actors' environment: a cluster's other machines do not have what this process has in its own.
    """
    at_once = DEPTH if inspect.iscoroutinefunction(worker.do) else 1
    actor = ray.remote(
        num_cpus=cpus, num_gpus=gpus, max_restarts=RESTARTS, max_task_retries=-1, max_concurrency=at_once
    )(_entrusted(worker))
    given = [ray.put(each) for each in arguments]  # held here: an actor that is started again takes them from there
    actors = [actor.remote(keys or {}, given) for _ in range(count)]
    waiting = iter(units)
    running: dict[Any, tuple[Any, Unit]] = {}

    def start(on: Any) -> None:
        for unit in itertools.islice(waiting, 1):
            running[on.do.remote(unit)] = (on, unit)

    try:
        for each in actors * DEPTH:
            start(each)
        while running:
            (ready, *_), _ = ray.wait(list(running), num_returns=1)
            on, unit = running.pop(ready)
            start(on)
            done(unit, _result(ready))
    finally:
        for each in actors:
            ray.kill(each)


def _entrusted(worker: type[Any]) -> type[Any]:
    """The same worker, which is handed keys for its environment first."""

    class Entrusted(worker):
        def __init__(self, keys: Mapping[str, str], arguments: list[Any]) -> None:
            os.environ.update(keys)
            super().__init__(*ray.get(arguments))

    Entrusted.__name__ = Entrusted.__qualname__ = worker.__name__
    return Entrusted


def _result(ready: Any) -> Any:
    """A unit's result; its own error if it failed, without its way through Ray."""
    try:
        return ray.get(ready)
    except ray.exceptions.RayTaskError as failure:
        raise failure.cause from failure
