"""Examines what an endpoint serves: has it score canaries, alone and beside one another, and compares."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from . import attest
from .attest import Canary, Finding, Reference, Served
from .client import Client, RequestFailed
from .settings_subjects import Precision

TOGETHER = 8
"""Adapters that are scored beside one another, each beside their base too."""

Scores = list[float]


@dataclass(frozen=True)
class Candidate:
    """A base as it should be served: its name there, and the references of its adapters by theirs, or else its own."""

    name: str
    precision: Precision
    adapters: Mapping[str, Reference]
    own: Reference | None = None


async def examine(client: Client, candidate: Candidate) -> dict[str, Finding]:
    """What is found about a base and about its adapters, by the name that each is served under."""
    try:
        if candidate.adapters:
            return await _with_adapters(client, candidate)
        assert candidate.own is not None
        return {candidate.name: await _by_itself(client, candidate, candidate.own)}
    except RequestFailed as failure:
        failed = Finding("failed", f"its base cannot be scored: {failure}")
        return dict.fromkeys([candidate.name, *candidate.adapters], failed)


async def _by_itself(client: Client, candidate: Candidate, own: Reference) -> Finding:
    alone = [value for each in own.canaries for value in await _score(client, candidate.name, [each])]
    together = await _score(client, candidate.name, own.canaries)
    return attest.of_base([own], [Served(alone, together)], candidate.precision)


async def _with_adapters(client: Client, candidate: Candidate) -> dict[str, Finding]:
    base = {name: await _score(client, candidate.name, each.canaries) for name, each in candidate.adapters.items()}
    alone = {name: await _or_why(client, name, each.canaries) for name, each in candidate.adapters.items()}
    sound = [name for name, scores in alone.items() if not isinstance(scores, str)]
    base_beside, beside = await _beside(client, candidate, sound)
    rounded = attest.rounding(list(candidate.adapters.values()), list(base.values()))
    found, seen = {}, {}
    for name, reference in candidate.adapters.items():
        one, other = alone[name], beside.get(name, "")
        if isinstance(one, str) or isinstance(other, str):
            found[name] = Finding("failed", f"it is not served: {one if isinstance(one, str) else other}")
            continue
        seen[name] = Served(base[name], base_beside[name], one, other)
        found[name] = attest.of_adapter(reference, seen[name], rounded, candidate.precision)
    references = [candidate.adapters[name] for name in seen] or list(candidate.adapters.values())
    served = list(seen.values()) or [Served(each, each) for each in base.values()]
    of_base = attest.of_base(references, served, candidate.precision)
    if not rounded <= attest.most_rounding(candidate.precision):
        found = dict.fromkeys(
            candidate.adapters, Finding("failed", f"its base is not served as it is: {of_base.fault}")
        )
    return {candidate.name: of_base, **found}


async def _beside(
    client: Client, candidate: Candidate, names: Sequence[str]
) -> tuple[dict[str, Scores], dict[str, Scores | str]]:
    """The scores of the base and of these adapters, asked all at once, so that they share batches."""
    base: dict[str, Scores] = {}
    adapters: dict[str, Scores | str] = {}
    for start in range(0, len(names), TOGETHER):
        group = names[start : start + TOGETHER]
        asked = [(each, candidate.adapters[name].canaries) for name in group for each in (candidate.name, name)]
        scored = await asyncio.gather(*(_or_why(client, *each) for each in asked))
        adapters.update(zip(group, scored[1::2], strict=True))
        for name, scores in zip(group, scored[::2], strict=True):
            if isinstance(scores, str):
                raise RequestFailed(scores)
            base[name] = scores
    return base, adapters


async def _or_why(client: Client, name: str, canaries: Sequence[Canary]) -> Scores | str:
    """Scores, or why there are none."""
    try:
        return await _score(client, name, canaries)
    except RequestFailed as failure:
        return str(failure)


async def _score(client: Client, name: str, canaries: Iterable[Canary]) -> Scores:
    asked = list(canaries)
    scored = await client.score(name, [each.tokens for each in asked])
    return [found[place] for each, found in zip(asked, scored, strict=True) for place in each.scored]
