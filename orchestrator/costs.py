"""What endpoints are paid: every call is counted, and none is made that the budget may not cover.

Each process keeps its own piece of the ledger, a file in `costs/`. What a call may cost at most is set aside before it
is made, and counts as spent until its tokens are known; room for it is taken from the budget under a lock on that
folder. Requests that failed are taken to cost nothing.
"""

import contextlib
import os
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import NamedTuple

import filelock

from . import gpu_hours, settings_hosted
from .config import Study
from .errors import WarmthError
from .settings import Endpoint
from .settings_asking import Judge
from .settings_hosted import Hosted
from .store import Store
from .tables import Cost

FOLDER = "costs"

UNACCOUNTED = "unaccounted"
"""The purpose of what is set aside: spent, perhaps, by a process that was killed, or by a job that is not over yet."""


class Prices(NamedTuple):
    """Dollars per million tokens in and out."""

    tokens_in: float
    tokens_out: float

    def usd(self, tokens_in: int, tokens_out: int) -> float:
        return (self.tokens_in * tokens_in + self.tokens_out * tokens_out) / 1e6


def prices(endpoint: Endpoint | Judge, model: str) -> Prices | None:
    """What a model's tokens cost at an endpoint; None if that is not known."""
    if not settings_hosted.priced(endpoint):
        return None
    if isinstance(endpoint, Hosted) and model != endpoint.model:
        tuned, plain = (endpoint.usd_in_tuned, endpoint.usd_out_tuned), (endpoint.usd_in, endpoint.usd_out)
        return Prices(*(own if own is not None else same for own, same in zip(tuned, plain, strict=True)))
    return Prices(endpoint.usd_in, endpoint.usd_out)


def keys(study: Study) -> dict[str, str]:
    """The keys that a study's endpoints need, by variable. Raises WarmthError naming every variable that is not set."""
    needed: dict[str, list[str]] = {}
    for where, endpoint in settings_hosted.endpoints(study):
        if endpoint.api_key_env:
            needed.setdefault(endpoint.api_key_env, []).append(".".join(map(str, where)))
    absent = [name for name in needed if not os.environ.get(name, "").strip()]
    if absent:
        lines = (f"{', '.join(needed[name])}: the environment variable {name} is not set" for name in absent)
        raise WarmthError("\n".join(f"{line}; `export {name}=...`" for line, name in zip(lines, absent, strict=True)))
    return {name: os.environ[name] for name in needed}


def key(endpoint: Endpoint | Judge) -> str | None:
    """An endpoint's key, from the environment alone."""
    return os.environ.get(endpoint.api_key_env) if endpoint.api_key_env else None


def cap(study: Study) -> float | None:
    """What a study may cost; None if it has no budget."""
    return study.budget.usd if study.budget else None


# ------------------------------------------------------------------ the ledger
def pieces(store: Store) -> Iterator[tuple[str, Cost]]:
    """All that is on file of what was spent, and in which piece."""
    for piece in store.names(FOLDER):
        if piece.endswith(".arrow"):
            yield from ((piece, row) for row in store.read_rows(Cost, FOLDER, piece))


def file(store: Store, piece: str, spent: Iterable[Cost]) -> None:
    """Write one process's piece, over what it said before."""
    store.write_rows(list(spent), Cost, FOLDER, piece)


def set_aside(store: Store, limit: float | None, piece: str, usd: float | None) -> bool:
    """Keep so much for something that is paid when it is over; False if it is more than is left."""
    with locked(store):
        if limit is not None and (usd or 0) > limit - total(row for of, row in pieces(store) if of != piece):
            refuse(store)
            return False
        file(store, piece, [aside(usd)])
    return True


def aside(usd: float | None) -> Cost:
    """So much that may have been spent."""
    return Cost("", "", UNACCOUNTED, 0, 0, 0, usd)


def total(spent: Iterable[Cost]) -> float:
    """Dollars, as far as prices are known."""
    return sum(row.usd or 0 for row in spent)


def add(one: Cost, other: Cost) -> Cost:
    """Both together; a price that is not known stays so."""
    return replace(
        one,
        calls=one.calls + other.calls,
        tokens_in=one.tokens_in + other.tokens_in,
        tokens_out=one.tokens_out + other.tokens_out,
        usd=None if one.usd is None or other.usd is None else one.usd + other.usd,
    )


@contextlib.contextmanager
def locked(store: Store) -> Iterator[None]:
    """Nobody else takes from the budget meanwhile."""
    store.path(FOLDER).mkdir(parents=True, exist_ok=True)
    with filelock.FileLock(store.path(FOLDER, ".lock")):
        yield


# ---------------------------------------------------------------- what is said
def spoken(store: Store) -> str:
    """What was spent for each purpose; empty if no endpoint but the run's own was asked."""
    return ", ".join(
        f"{name} {'of unknown price' if row.usd is None else f'${row.usd:,.2f}'} ({row.calls:,} calls)"
        for name, row in by_purpose(store).items()
    )


def by_purpose(store: Store) -> dict[str, Cost]:
    """What was spent for each purpose; empty if no endpoint but the run's own was asked."""
    by: dict[str, Cost] = {}
    for _, row in pieces(store):
        by[row.purpose] = add(by[row.purpose], row) if row.purpose in by else row
    return dict(sorted(by.items()))


def refuse(store: Store) -> None:
    """Say to the whole run that something was not done for the budget's sake."""
    store.write_json({"refused": True}, FOLDER, "refused.json")


def begin(study: Study, store: Store) -> None:
    """Forget what an earlier start of the run refused: its budget may have been raised.

    Raises WarmthError if its GPU time is used up already.
    """
    for name in ("refused.json", gpu_hours.OVER):
        store.path(FOLDER, name).unlink(missing_ok=True)
    gpu_hours.check(study, store)


def check(study: Study, store: Store) -> None:
    """Raises WarmthError where something was not done for the budget's sake, saying what was spent."""
    gpu_hours.check(study, store)
    if store.has(FOLDER, "refused.json"):
        raise WarmthError(
            f"budget.usd: stopped, as ${cap(study):,.2f} may be passed; spent: {spoken(store) or 'nothing'}. "
            "What came is kept: raise budget.usd and run again"
        )
