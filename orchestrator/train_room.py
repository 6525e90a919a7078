"""What is done where a step finds no memory: fewer members at once, then smaller parts of a batch, then nothing."""

from collections.abc import Sequence

from .errors import WarmthError
from .pack import Resident
from .pack_member import Member
from .pack_width import Width


def again_smaller(resident: Resident, seated: Sequence[Member], width: Width) -> bool:
    """Make the step that found no memory smaller, and note it with the members; false if it cannot be."""
    for member in seated:
        member.retried += 1
    if len(seated) > 1:
        width.too_wide()
        return True
    largest = max(seated[0].passes(resident.at_once), key=lambda part: len(part.tokens))
    resident.at_once = len(largest.tokens) // 2
    return len(largest.lengths) > 1


def too_large(resident: Resident, member: Member, error: Exception) -> WarmthError:
    """Why a trial whose step finds no memory fails, and what would help."""
    tokens, cures = max(member.batch.lengths), ["a lower training.max_length", "a quantised or smaller base"]
    if resident.ranks.count > 1:
        tokens = max(len(part.tokens) for part in member.passes(resident.at_once))
        cures = [f"resources.tokens_at_once below {tokens}", "more resources.gpus_per_trial", *cures]
    what_helps = ", or ".join(cures)
    return WarmthError(f"models: {resident.base}: no memory to learn from {tokens} tokens ({error}); try {what_helps}")
