"""From logits to the next tokens, for all rows of a batch at once."""

from collections.abc import Callable, Sequence

import torch

from orchestrator.engine import Request


class Dice:
    """A row's own stream of uniform numbers in [0, 1): the same seed gives the same stream, whoever else is there."""

    def __init__(self, seed: int | None) -> None:
        self._generator = torch.Generator()
        if seed is None:
            self._generator.seed()
        else:
            self._generator.manual_seed(seed)
        self._drawn: list[float] = []

    def throw(self) -> float:
        """The next number; drawn by the handful, because one at a time is slow."""
        if not self._drawn:
            self._drawn = torch.rand(32, generator=self._generator).tolist()[::-1]
        return self._drawn.pop()


Choice = tuple[Request, Dice | None]
"""How one row chooses its next token: without dice it is greedy."""
Draw = Callable[[torch.Tensor, torch.Tensor, Sequence[Request]], torch.Tensor]
Alternatives = list[tuple[int, float]]


def choose(logits: torch.Tensor, choices: Sequence[Choice]) -> list[int]:
    """The next token of each row; logits [rows, vocabulary]. Greedy rows take the likeliest, the others throw dice."""
    tokens: list[int] = logits.argmax(-1).tolist()
    drawing = [row for row, (_, dice) in enumerate(choices) if dice]
    free = [row for row in drawing if not _trims(choices[row][0])]
    trimmed = [row for row in drawing if _trims(choices[row][0])]
    for rows, draw in ((free, _draw), (trimmed, _draw_trimmed)):
        if rows:
            _put(tokens, rows, logits, choices, draw)
    return tokens


def top_logprobs(logits: torch.Tensor, tokens: torch.Tensor, most: int) -> tuple[list[float], list[Alternatives]]:
    """Log-probabilities of the `tokens` [rows] under `logits` [rows, vocabulary], and the `most` likeliest of each row."""
    logprobs = logits.float().log_softmax(-1)
    chosen: list[float] = logprobs.gather(-1, tokens[:, None])[:, 0].tolist()
    if not most:
        return chosen, [[] for _ in chosen]
    values, indices = logprobs.topk(min(most, logprobs.shape[-1]))
    return chosen, [list(zip(*row, strict=True)) for row in zip(indices.tolist(), values.tolist(), strict=True)]


def _trims(request: Request) -> bool:
    return request.top_p < 1 or request.top_k > 0


def _put(tokens: list[int], rows: list[int], logits: torch.Tensor, choices: Sequence[Choice], draw: Draw) -> None:
    """Replaces the tokens of these rows by drawn ones."""
    requests = [choices[row][0] for row in rows]
    throws = [dice.throw() for row in rows if (dice := choices[row][1])]
    heat = torch.tensor([request.temperature for request in requests], device=logits.device)
    warm = logits[rows].float() / heat[:, None]
    drawn = draw(warm.softmax(-1), torch.tensor(throws, device=logits.device), requests)
    for row, token in zip(rows, drawn.tolist(), strict=True):
        tokens[row] = token


def _draw(probabilities: torch.Tensor, throws: torch.Tensor, requests: Sequence[Request]) -> torch.Tensor:
    """Inverse of the cumulative distribution: the first token whose cumulated probability exceeds the throw."""
    sums = probabilities.cumsum(-1)
    found = torch.searchsorted(sums, (throws * sums[:, -1])[:, None], right=True)[:, 0]
    return found.clamp(max=probabilities.shape[-1] - 1)


def _draw_trimmed(probabilities: torch.Tensor, throws: torch.Tensor, requests: Sequence[Request]) -> torch.Tensor:
    """The same among each row's likeliest tokens: at most top_k, and the fewest that together reach top_p."""
    size, device = probabilities.shape[-1], probabilities.device
    ordered, indices = probabilities.sort(-1, descending=True, stable=True)
    top_k = torch.tensor([request.top_k or size for request in requests], device=device)
    ordered = ordered.masked_fill(torch.arange(size, device=device) >= top_k[:, None], 0)
    before = ordered.cumsum(-1) - ordered
    top_p = torch.tensor([request.top_p for request in requests], device=device)
    # The likeliest token always stays: at top_p 0 this is the greedy choice.
    outside = before >= (top_p * ordered.sum(-1))[:, None]
    outside[:, 0] = False
    place = _draw(ordered.masked_fill(outside, 0), throws, requests)
    return indices.gather(-1, place[:, None])[:, 0]
