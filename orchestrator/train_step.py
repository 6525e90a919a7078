"""One step of members that are seated together: everyone's gradient, and whether it is the one that they have alone."""

from collections.abc import Iterable, Sequence
from itertools import zip_longest

import torch

from .pack import Resident
from .pack_member import Member

SAME = 1e-3
"""How far a member's first gradient beside others may be from the one alone, as a share of the largest."""


def gradients(resident: Resident, members: Sequence[Member]) -> list[float]:
    """Gather everyone's gradient, in as many passes as it takes; gives the losses."""
    found = torch.zeros(len(members), device=resident.device)
    for parts in zip_longest(*(member.passes(resident.at_once) for member in members)):
        there = [place for place, part in enumerate(parts) if part is not None]
        losses = torch.stack(resident.losses([members[each] for each in there], [parts[each] for each in there]))
        losses.sum().backward()
        found[there] += losses.detach()
    for tensor in (found, *(member.gradient for member in members)):
        resident.ranks.add(tensor)
    return found.tolist()


def forget(members: Iterable[Member]) -> None:
    """Let go of what was gathered."""
    for member in members:
        member.gradient.zero_()


def alone(resident: Resident, member: Member) -> torch.Tensor:
    """The gradient that a member would have alone."""
    gradients(resident, [member])
    found = member.gradient.clone()
    forget([member])
    return found


def certified(member: Member, alone: torch.Tensor, members: int) -> bool:
    """Whether a member's first gradient beside others is the one it has alone; filed with the trial."""
    strayed, largest = float((member.gradient - alone).abs().max()), float(alone.abs().max())
    member.packed = {"members": members, "gradient": largest, "gradient_difference": strayed}
    return not strayed > SAME * largest
