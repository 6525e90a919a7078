"""How far a run is, in words and tables for the terminal, and as JSON."""

import json
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from . import status
from .cluster_state import COUNTED, ClusterState
from .status import Status, TrialState
from .status_units import UnitState

COLOURS = {
    "trained": "green",
    "failed": "red",
    "training": "cyan",
    "stopped": "yellow",
    "cut short": "yellow",
    "not begun": "dim",
}


def to_json(found: Status) -> str:
    """All of it as one JSON object."""
    units = [{**asdict(unit), "missing": unit.missing} for unit in found.units]
    return json.dumps({**asdict(found), "units": units, "seconds_left": found.seconds_left}, ensure_ascii=False)


def shown(found: Status, all_of_it: bool = True) -> RenderableType:
    """All of it; without the trials and units that are done if not `all_of_it`. Readable at 80 columns."""
    parts: list[RenderableType] = [Text(line) for line in (*_about(found), *_rest(found))]
    trials = [each for each in found.trials if all_of_it or each.state != "trained"]
    units = [each for each in found.units if all_of_it or not each.done]
    if found.cluster:
        parts.append(cluster(found.cluster))
    if found.trials:
        parts.append(Text(f"\n{_trials_in_short(found)}", style="bold"))
        parts += [_trials(trials)] if trials else []
    parts.append(Text(f"\n{_units_in_short(found)}", style="bold"))
    parts += [_units(units)] if units else []
    return Group(*parts)


def cluster(state: ClusterState) -> RenderableType:
    """A cluster: what is used of it, its machines, and what waits for room."""
    if state.error:
        return Text(f"\nCluster: {state.error}")
    used = ", ".join(f"{used:g} of {there:g} {name}s" for name in COUNTED for used, there in [state.sum(name)])
    heads = (("node", "left"), ("address", "left"), ("state", "left"), *((f"{name}s", "right") for name in COUNTED))
    table = _table(*heads)
    for each in state.nodes:
        name = each.kind if each.count == 1 else f"{each.count} x {each.kind}"
        room = (f"{each.used.get(of, 0):g}/{each.total[of]:g}" if of in each.total else "" for of in COUNTED)
        table.add_row(name, each.address, each.state, *room)
        if each.why:
            table.add_row(Text(f"  {each.why}", style="dim", overflow="fold"))
    waiting = [f"{each.count} x {_room(each.room)}" for each in state.waiting]
    queue = f"Waiting for room: {', '.join(waiting) or 'nothing'}"
    return Group(Text(f"\nCluster: {used} in use", style="bold"), table, Text(queue))


def _room(room: Mapping[str, float]) -> str:
    return "{" + ", ".join(f"{name}: {amount:g}" for name, amount in room.items()) + "}"


def _about(found: Status) -> Iterator[str]:
    by, stage = found.holder, found.stage
    if by is None:
        what = "The same `warmth run` goes on with it." if _waiting(found) else "Everything is done."
        yield f"{found.run}: no process works on it. {what}"
    else:
        where = "" if by.host == socket.gethostname() else f" on {by.host}"
        said = status.age(found)
        yield f"{found.run}: process {by.pid}{where} works on it{f', last heard of {_time(said)} ago' if said else ''}."
    if by and stage:
        rate = f", {stage.rate:,.1f} {stage.unit}/s" if stage.rate else ""
        left = f", {_time(found.seconds_left)} left" if found.seconds_left else ""
        yield f"{stage.stage}: {stage.done:,.0f} of {stage.total:,.0f} {stage.unit}{rate}{left}"


def _waiting(found: Status) -> bool:
    """Whether anything is left that the same command would do."""
    return (
        any(trial.state not in ("trained", "cut short") for trial in found.trials)
        or any(not unit.done for unit in found.units)
        or found.warmth[0] < found.warmth[1]
    )


def _trials_in_short(found: Status) -> str:
    states = [trial.state for trial in found.trials]
    counts = ", ".join(f"{states.count(state)} {state}" for state in COLOURS if state in states)
    return f"{len(states)} {'trial' if len(states) == 1 else 'trials'}: {counts}"


def _trials(trials: Sequence[TrialState]) -> Table:
    table = _table(("trial", "left"), ("state", "left"), ("step", "right"), ("epoch", "right"), ("loss", "right"))
    for each in trials:
        steps = "" if each.steps is None else f"{each.step}/{each.steps}"
        numbers = (steps, _or_none(each.epoch, "{:.2g}"), _or_none(each.loss, "{:.2f}"))
        table.add_row(each.trial, Text(each.state, style=COLOURS[each.state]), *numbers)
        if each.reason:
            table.add_row(Text(f"  {each.reason}", style="dim", overflow="fold"))
    return table


def _units_in_short(found: Status) -> str:
    asked, failed = (sum(getattr(unit, name) for unit in found.units) for name in ("asked", "failed"))
    sizes = [unit.size if unit.size is not None else unit.asked + unit.failed for unit in found.units]
    many = "evaluation" if len(sizes) == 1 else "evaluations"
    return f"{len(sizes)} {many}: {asked:,} of {sum(sizes):,} replies, {failed:,} failed"


def _units(units: Sequence[UnitState]) -> Table:
    judges = sorted({name for unit in units for name in unit.judged})
    numbers = ("asked", "missing", "failed", *(f"judged by\n{name}" for name in judges))
    table = _table(("subject", "left"), ("task", "left"), *((name, "right") for name in numbers))
    before = ""
    for each in units:
        missing = _or_none(each.missing, "{:,}", "?")
        judged = (_or_none(each.judged.get(name), "{:,}") for name in judges)
        name = Text(each.subject if each.subject != before else "", style="" if each.done else "cyan")
        table.add_row(name, each.task, f"{each.asked:,}", missing, f"{each.failed:,}", *judged)
        before = each.subject
    return table


def _rest(found: Status) -> Iterator[str]:
    voices, warmth = found.rewritten, found.warmth
    if voices[1]:
        yield f"Rewritten: {voices[0]} of {voices[1]} personas"
    if warmth[1]:
        yield f"Warmth: {warmth[0]} of {warmth[1]} subjects"
    paid = [
        f"{name} {'of unknown price' if cost.usd is None else f'${cost.usd:,.2f}'} ({cost.calls:,} calls)"
        for name, cost in found.spent.items()
    ]
    limit = ""
    if found.budget is not None:
        left = max(0, found.budget - sum(cost.usd or 0 for cost in found.spent.values()))
        limit = f"; ${left:,.2f} of ${found.budget:,.2f} are left"
    yield f"Endpoints were paid: {', '.join(paid) or 'nothing'}{limit}"
    if found.gpu_hours or found.budget_gpu_hours:
        yield f"GPU hours: {_gpu_hours(found)}"
    yield f"Report: {found.run}/report/index.html" if found.reported else "No report yet"


def _gpu_hours(found: Status) -> str:
    held = sum(found.gpu_hours.values())
    by = ", ".join(f"{stage} {hours:,.2f}" for stage, hours in found.gpu_hours.items())
    told = f"{held:,.2f} ({by})" if by else "none yet"
    if found.budget_gpu_hours is None:
        return told
    return f"{told}; {max(0, found.budget_gpu_hours - held):,.2f} of {found.budget_gpu_hours:g} are left"


def _table(*heads: tuple[str, Any]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1), pad_edge=False, collapse_padding=True, show_edge=False)
    for place, (head, justify) in enumerate(heads):
        table.add_column(head, justify=justify, no_wrap=place > 0, overflow="fold")
    return table


def _or_none(value: float | None, form: str, otherwise: str = "") -> str:
    return otherwise if value is None else form.format(value)


def _time(seconds: float | None) -> str:
    """A length of time as people say it."""
    if seconds is None:
        return "an unknown time"
    for unit, of in (("h", 3600), ("min", 60)):
        if seconds >= 2 * of:
            return f"{seconds / of:.0f} {unit}"
    return f"{seconds:.0f} s"


def watch(look: Callable[[], Status], every: float = 1.0) -> None:
    """Show it again and again until nobody works on the run any more."""
    import time

    from rich.live import Live

    with Live(shown(look(), all_of_it=False), auto_refresh=False, vertical_overflow="crop") as live:
        while (found := look()).holder:
            live.update(shown(found, all_of_it=False), refresh=True)
            time.sleep(every)
        live.update(shown(found, all_of_it=False), refresh=True)
