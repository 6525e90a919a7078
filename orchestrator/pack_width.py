"""How many members are best trained together: found by measuring real steps, so that nothing is lost in finding out."""

import time

import torch

SAMPLES = 4
"""Steps by which a width is judged: by the quickest, as what disturbs a step only ever adds to it."""
WORTH = 0.95
"""Training together has to take less than this share of the time that it takes alone."""
HOPELESS = 1.05
"""A width that takes more than this share of the best one's time ends the search."""


def clock() -> float:
    """Seconds of the processor that computes; a GPU's are those on the wall, once it is done."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
        return time.perf_counter()
    return time.process_time()


class Width:
    """Doubles the width while there is hope, then keeps to the best. Results do not depend on it, only time does."""

    def __init__(self, most: int) -> None:
        self._most, self._trying, self._settled = max(1, most), 1, False
        self._seen: list[float] = []
        self.costs: dict[int, float] = {}
        "Seconds per token at each width that was measured."

    def now(self, members: int) -> int:
        """How many of so many members to train together in the next step."""
        return max(1, min(self._trying, members))

    def tell(self, width: int, seconds: float, tokens: int) -> None:
        """What a step took. Steps of fewer members than are being tried say nothing."""
        if self._settled or width != self._trying:
            return
        self._seen.append(seconds / tokens)
        if len(self._seen) == SAMPLES:
            self._judge(min(self._seen))

    def _judge(self, cost: float) -> None:
        self.costs[self._trying] = cost
        self._seen.clear()
        best = min(self.costs, key=self.costs.__getitem__)
        if cost <= HOPELESS * self.costs[best] and self._trying * 2 <= self._most:
            self._trying *= 2
        else:
            self.settle(best if self.costs[best] < WORTH * self.costs[1] else 1)

    def too_wide(self) -> None:
        """There is no room for so many: half as many, for good."""
        self.settle(max(1, self._trying // 2))

    def settle(self, width: int) -> None:
        """Keep to a width."""
        self._trying, self._settled = width, True
