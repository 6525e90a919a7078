"""The batch: rows join and leave at every token.

Prompts that come together are read in one forward pass; then every live row gains one token per forward pass. A row's
place in the cache is its index in the batch, so a place left empty is filled by a newcomer, or else by the last row.
transformers' own continuous batching has no adapters, seeds or stop strings by row, and does not score prompts.
"""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from transformers import PreTrainedModel

from .engine import FinishReason, Request
from .engine_cache import RowCache
from .engine_lora import Adapter, Bench
from .engine_masks import Mask, Masks
from .engine_sampling import Dice, choose, top_logprobs
from .engine_text import Scored, Spelling

READ_AT_ONCE = 8192
"""Prompt tokens, padding included, in one forward pass: what bounds its memory."""

logger = logging.getLogger(__name__)


@dataclass(eq=False, slots=True)
class Row:
    """One request in the batch. `budget` is the most tokens it may gain; `dice` is None where it is greedy."""

    request: Request
    prompt: Sequence[int]
    budget: int
    dice: Dice | None = None
    adapter: Adapter | None = None
    spelling: Spelling | None = None
    tokens: list[int] = field(default_factory=list)
    scored: list[Scored] = field(default_factory=list)
    finish_reason: FinishReason | None = None
    error: Exception | None = None
    cancelled: bool = False

    @property
    def over(self) -> bool:
        """Whether the row needs nothing more from the batch."""
        return self.finish_reason is not None or self.error is not None or self.cancelled


class Batch:
    """At most `size` live rows of one model. `ends` are the tokens that end a reply."""

    def __init__(self, model: PreTrainedModel, size: int, max_length: int, ends: frozenset[int]) -> None:
        self._model, self._size, self._ends = model, size, ends
        self._bench, self._masks = Bench(model), Masks(model)
        self._cache = RowCache(model.config.get_text_config().num_hidden_layers, size, max_length)
        self._places: list[Row | None] = []

    @property
    def free(self) -> int:
        """How many rows may join."""
        return self._size - len(self._live())

    def join(self, rows: Sequence[Row]) -> None:
        """Reads the newcomers' prompts and gives each its first token. A failed pass is its own rows' failure only."""
        for group in _alike([row for row in rows if not row.over]):
            with _failing(group):
                self._read(group)
        self._close_ranks()

    def step(self) -> list[Row]:
        """One more token for every live row; returns them, those that are over for the last time."""
        rows = self._live()
        if rows:
            with _failing(rows):
                self._extend(rows, self._speak(rows))
        self._places = [row if row and not row.over else None for row in self._places]
        return rows

    def _live(self) -> list[Row]:
        return [row for row in self._places if row]

    def _read(self, rows: Sequence[Row]) -> None:
        """Prompts are padded on the right, where causal attention never looks."""
        live = [*self._live(), *rows]
        self._bench.seat({row.request.adapter: row.adapter for row in live if row.request.adapter and row.adapter})
        self._cache.reading()
        ids, wanted = _padded(rows)
        positions = torch.arange(ids.shape[1]).expand(ids.shape)
        logits = self._forward(rows, ids, positions, self._masks.reading(ids.shape[1]), wanted)
        ends: list[int] = wanted.sum(-1).cumsum(-1).tolist()
        for row, start, end in zip(rows, [0, *ends], ends, strict=False):
            if _scores_prompt(row.request):
                _score_prompt(row, logits[start : end - 1])
        self._extend(rows, logits[[end - 1 for end in ends]])
        self._admit(rows, ids.shape[1])

    def _speak(self, rows: Sequence[Row]) -> torch.Tensor:
        """Logits [rows, vocabulary] for each row's next token."""
        ids = torch.tensor([row.tokens[-1:] for row in rows])
        positions = torch.tensor([[len(row.prompt) + len(row.tokens) - 1] for row in rows])
        length = int(positions.max()) + 1
        places = positions[:, 0].to(self._model.device)
        self._cache.speaking(torch.arange(len(rows), device=places.device), places, length)
        return self._forward(rows, ids, positions, self._masks.speaking(places, length), torch.ones_like(ids).bool())

    def _forward(
        self, rows: Sequence[Row], ids: torch.Tensor, positions: torch.Tensor, mask: Mask, wanted: torch.Tensor
    ) -> torch.Tensor:
        """Logits [wanted places, vocabulary] of one pass over ids [rows, tokens]."""
        self._bench.aim([row.request.adapter for row in rows], self._model.device, self._model.dtype)
        device = self._model.device
        logits: torch.Tensor = self._model(
            input_ids=ids.to(device),
            position_ids=positions.to(device),
            attention_mask=mask,
            past_key_values=self._cache,
            use_cache=True,
            logits_to_keep=wanted.to(device),
        ).logits
        return logits.flatten(0, -2)

    def _extend(self, rows: Sequence[Row], logits: torch.Tensor) -> None:
        """Chooses each row's next token."""
        tokens = choose(logits, [(row.request, row.dice) for row in rows])
        self._score_tokens(rows, logits, tokens)
        for row, token in zip(rows, tokens, strict=True):
            self._add(row, token)

    def _score_tokens(self, rows: Sequence[Row], logits: torch.Tensor, tokens: Sequence[int]) -> None:
        asking = [index for index, row in enumerate(rows) if row.request.logprobs is not None and row.budget]
        if not asking:
            return
        chosen = torch.tensor([tokens[index] for index in asking], device=logits.device)
        most = max(rows[index].request.logprobs or 0 for index in asking)
        for index, logprob, top in zip(asking, *top_logprobs(logits[asking], chosen, most), strict=True):
            rows[index].scored.append((tokens[index], logprob, top[: rows[index].request.logprobs]))

    def _add(self, row: Row, token: int) -> None:
        if row.budget:
            row.tokens.append(token)
            if row.spelling:
                row.spelling.add(token)
        if row.budget and (token in self._ends or (row.spelling and row.spelling.stopped)):
            row.finish_reason = "stop"
        elif len(row.tokens) >= row.budget:
            row.finish_reason = "length"
        if row.finish_reason and row.spelling:
            row.spelling.finish()

    def _admit(self, rows: Sequence[Row], length: int) -> None:
        """Gives a place to each newcomer that goes on speaking."""
        sources = [index for index, row in enumerate(rows) if not row.over]
        gaps = [place for place, row in enumerate(self._places) if row is None]
        new = range(len(self._places), self._size)
        places = [*gaps, *new][: len(sources)]
        self._places += [None] * (1 + max(places, default=-1) - len(self._places))
        if sources:
            self._cache.adopt(sources, places, length)
        for place, source in zip(places, sources, strict=True):
            self._places[place] = rows[source]

    def _close_ranks(self) -> None:
        """Fills the gaps that are left with the last rows, so that the live rows are the first of the cache."""
        self._places = [row if row and not row.over else None for row in self._places]
        count = len(self._live())
        gaps = [place for place in range(count) if self._places[place] is None]
        tail = [place for place in range(count, len(self._places)) if self._places[place]]
        if gaps:
            self._cache.move(tail, gaps)
        for gap, last in zip(gaps, tail, strict=True):
            self._places[gap] = self._places[last]
        del self._places[count:]


@contextmanager
def _failing(rows: Sequence[Row]) -> Iterator[None]:
    """A pass that fails is recorded with its rows, whatever the reason was; the batch goes on."""
    try:
        yield
    except Exception as error:  # the seam between one pass and the loop
        logger.exception("a pass over %d rows failed", len(rows))
        for row in rows:
            row.error = error


def _alike(rows: Sequence[Row]) -> Iterator[list[Row]]:
    """Groups rows of similar prompt length, so that little is padded, within what is read at once."""
    group: list[Row] = []
    for row in sorted(rows, key=lambda row: len(row.prompt)):
        length = len(row.prompt)
        if group and (length > 2 * len(group[0].prompt) + 32 or length * (len(group) + 1) > READ_AT_ONCE):
            yield group
            group = []
        group.append(row)
    if group:
        yield group


def _padded(rows: Sequence[Row]) -> tuple[torch.Tensor, torch.Tensor]:
    """Ids [rows, longest], and which of the places' logits are wanted: the last, or all where the prompt is scored."""
    longest = max(len(row.prompt) for row in rows)
    ids = torch.tensor([[*row.prompt, *[0] * (longest - len(row.prompt))] for row in rows])
    ends = torch.tensor([[len(row.prompt)] for row in rows])
    starts = torch.tensor([[0 if _scores_prompt(row.request) else len(row.prompt) - 1] for row in rows])
    place = torch.arange(longest)
    return ids, (place >= starts) & (place < ends)


def _scores_prompt(request: Request) -> bool:
    return request.echo and request.logprobs is not None


def _score_prompt(row: Row, logits: torch.Tensor) -> None:
    """Scores the prompt's own tokens; logits [tokens - 1, vocabulary] are those each next token was drawn from."""
    row.scored.append((row.prompt[0], None, []))
    following = torch.tensor(row.prompt[1:], dtype=torch.long, device=logits.device)
    logprobs, tops = top_logprobs(logits, following, row.request.logprobs or 0)
    row.scored += zip(row.prompt[1:], logprobs, tops, strict=True)
