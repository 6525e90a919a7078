"""The processes that train a trial together: what one of them knows of the others."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.distributed as dist

from .errors import WarmthError


@dataclass(frozen=True)
class Ranks:
    """Which of how many processes this is. Each trains its part of every batch and holds its part of the base.

    All take the same steps in the same order, so that whatever one of them waits for, the others come to it too.
    """

    rank: int = 0
    count: int = 1

    @classmethod
    def here(cls) -> "Ranks":
        """As torch's process group, which is up, has them."""
        return cls(dist.get_rank(), dist.get_world_size())

    def add(self, tensor: torch.Tensor) -> None:
        """Put the sum over all processes in a tensor's place."""
        if self.count > 1:
            dist.all_reduce(tensor)

    def first(self, do: Callable[[], None]) -> None:
        """Let the first process do something while the others wait. A WarmthError is raised in all of them."""
        if self.count == 1:
            do()
            return
        why: list[str | None] = [_complaint(do) if self.rank == 0 else None]
        dist.broadcast_object_list(why, src=0)
        if why[0] is not None:
            raise WarmthError(why[0])


ALONE = Ranks()


def _complaint(do: Callable[[], None]) -> str | None:
    try:
        do()
    except WarmthError as error:
        return str(error)
    return None
