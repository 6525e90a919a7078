"""How a step is divided, among processes and into passes that fit into memory: gradients add up to the whole. Pure."""

from collections.abc import Sequence
from itertools import accumulate, pairwise, zip_longest


def divided(lengths: Sequence[int], processes: int, at_once: int | None) -> list[tuple[range, ...]]:
    """For every pass, which neighbouring conversations each process takes; none where it has nothing left.

    `lengths` are of the batch's conversations and `at_once` is the most of a pass, in tokens; a conversation is whole.
    """
    mine = [_cut(lengths, each, at_once) for each in _shared(lengths, processes)]
    return list(zip_longest(*mine, fillvalue=range(0)))


def _shared(lengths: Sequence[int], processes: int) -> list[range]:
    """Neighbours, about as many tokens for each process: a conversation goes to whom its middle falls to."""
    total, ends = sum(lengths), accumulate(lengths)
    whose = [int((end - length / 2) * processes / total) for end, length in zip(ends, lengths, strict=True)]
    starts = [sum(each < process for each in whose) for process in range(processes + 1)]
    return [range(*ends) for ends in pairwise(starts)]


def _cut(lengths: Sequence[int], chosen: range, at_once: int | None) -> list[range]:
    """As few parts as the limit allows, if conversations are taken in their order."""
    parts, start, tokens = [], chosen.start, 0
    for place in chosen:
        if at_once and place > start and tokens + lengths[place] > at_once:
            parts.append(range(start, place))
            start, tokens = place, 0
        tokens += lengths[place]
    return [*parts, range(start, chosen.stop)]
