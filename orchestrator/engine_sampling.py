"""From logits to the next tokens, for all rows of a batch at once."""

from collections.abc import Sequence

import torch

from .engine import Request


class Dice:
    """A row's own stream of random numbers: the same seed gives the same stream, whoever else is in the batch."""

    def __init__(self, seed: int | None, device: str = "cpu") -> None:
        self._generator = torch.Generator(device)
        if seed is None:
            self._generator.seed()
        else:
            self._generator.manual_seed(seed)

    def race(self, size: int) -> torch.Tensor:
        """When each of `size` runners of speed 1 arrives: independent, exponentially distributed."""
        return torch.empty(size, device=self._generator.device).exponential_(generator=self._generator)


Choice = tuple[Request, Dice | None]
"""How one row chooses its next token: without dice it is greedy."""
Alternatives = list[tuple[int, float]]


def choose(logits: torch.Tensor, choices: Sequence[Choice]) -> list[int]:
    """The next token of each row; logits [rows, vocabulary]. Greedy rows take the likeliest, the others throw dice."""
    tokens: list[int] = logits.argmax(-1).tolist()
    drawing = [row for row, (_, dice) in enumerate(choices) if dice]
    free = [row for row in drawing if not _trims(choices[row][0])]
    trimmed = [row for row in drawing if _trims(choices[row][0])]
    for rows in (free, trimmed):  # apart, because trimming sorts the vocabulary
        if rows:
            drawn = _drawn(logits[rows], [choices[row] for row in rows], trim=rows is trimmed)
            for row, token in zip(rows, drawn, strict=True):
                tokens[row] = token
    return tokens


def top_logprobs(logits: torch.Tensor, tokens: torch.Tensor, most: int) -> tuple[list[float], list[Alternatives]]:
    """Log-probabilities of `tokens` [rows] under `logits` [rows, vocabulary], and the `most` likeliest of each row."""
    logprobs = logits.float().log_softmax(-1)
    chosen: list[float] = logprobs.gather(-1, tokens[:, None])[:, 0].tolist()
    if not most:
        return chosen, [[] for _ in chosen]
    values, indices = logprobs.topk(min(most, logprobs.shape[-1]))
    return chosen, [list(zip(*row, strict=True)) for row in zip(indices.tolist(), values.tolist(), strict=True)]


def _trims(request: Request) -> bool:
    return request.top_p < 1 or request.top_k > 0


def _drawn(logits: torch.Tensor, choices: Sequence[Choice], trim: bool) -> list[int]:
    """Race the tokens, each as fast as it is likely: the first to arrive is drawn with its probability.

    That another batch moves logits by rounding changes the winner only where two arrive at the same moment to within
    that rounding, which is far rarer than that a point falls on one of the many borders of a cumulated distribution.
    """
    requests = [request for request, _ in choices]
    heat = torch.tensor([request.temperature for request in requests], device=logits.device)
    probabilities = (logits.float() / heat[:, None]).softmax(-1)
    if trim:
        probabilities = _trimmed(probabilities, requests)
    arrivals = torch.stack([dice.race(logits.shape[-1]) for _, dice in choices if dice])
    tokens: list[int] = (probabilities / arrivals.to(logits.device)).argmax(-1).tolist()
    return tokens


def _trimmed(probabilities: torch.Tensor, requests: Sequence[Request]) -> torch.Tensor:
    """Zero outside each row's likeliest tokens: at most top_k, and of these the fewest that together reach top_p."""
    size, device = probabilities.shape[-1], probabilities.device
    ordered, indices = probabilities.sort(dim=-1, descending=True, stable=True)
    top_k = torch.tensor([request.top_k or size for request in requests], device=device)
    ordered = ordered.masked_fill(torch.arange(size, device=device) >= top_k[:, None], 0)
    before = ordered.cumsum(-1) - ordered
    top_p = torch.tensor([request.top_p for request in requests], device=device)
    outside = before >= (top_p * ordered.sum(-1))[:, None]
    outside[:, 0] = False  # the likeliest always stays: top_p 0 is the greedy choice
    return torch.zeros_like(probabilities).scatter(-1, indices, ordered.masked_fill(outside, 0))
