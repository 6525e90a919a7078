"""SocioT Warmth: how much likelier a reply is after a friend's opener than after a stranger's.

The metric of Cheng et al. (arXiv 2502.13259) in two modes, both in nats per token, the warm side minus the cold side.

`eval` is exact: dropout is off, each string's score is the mean log-probability of its own tokens, opener included,
and a side's score is the mean over its openers.

`faithful` is their code's arithmetic. A side's strings are one batch, padded on the right with token 0; its score is
one mean over all positions of the batch, padding included; dropout is on, and a side is scored a hundred times. What
they call bootstrap is these passes: the standard error is that of their mean, both sides' together.
"""

import hashlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from .errors import WarmthError
from .settings_warmth import PUBLISHED, Mode

REPEATS = 100
"""Passes of a side in faithful mode."""

LONGEST = 1024
"""Tokens after which a string is cut, as published."""

MOST_TOKENS, MOST_LOGITS = {"cpu": 2**10, "cuda": 2**14}, 2**27
"""What is computed at once at most: what fits a processor's cache, or fills a GPU; half a gigabyte of logits."""


@dataclass(frozen=True)
class Sides:
    """Mean log-probability per token after the warm and after the cold openers; `sem` is that of the difference."""

    warm: float
    cold: float
    sem: float | None = None

    @property
    def warmth(self) -> float:
        """How much likelier a friend says it."""
        return self.warm - self.cold


class Ruler:
    """Scores texts with any causal language model; `openers` are the warm and the cold ones.

    Raises WarmthError if there is no such model.
    """

    def __init__(
        self, model: str, openers: tuple[Sequence[str], Sequence[str]] = PUBLISHED, max_characters: int = 300
    ) -> None:
        self._openers, self._cut = openers, max_characters
        self._device = "cuda" if torch.cuda.is_available() else "cpu"
        try:
            self._tokenizer = AutoTokenizer.from_pretrained(model, trust_remote_code=False)
            held = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32, trust_remote_code=False)
            self._model = held.to(self._device)
        except (OSError, ValueError, KeyError) as error:
            reason = str(error).strip().partition("\n")[0]
            raise WarmthError(f"{model}: cannot be read as a causal language model: {reason}") from error
        self._longest = min(LONGEST, getattr(self._model.config, "max_position_embeddings", LONGEST))
        self._at_once = min(MOST_TOKENS[self._device], MOST_LOGITS // self._model.config.vocab_size)

    def measure(self, texts: Sequence[str], mode: Mode = "eval") -> list[Sides]:
        """Both sides of every text, in the order given. A text that stands there twice is scored once."""
        cut = [_storable(text[: self._cut]) for text in texts]
        distinct = list(dict.fromkeys(cut))
        scores: Callable[[Sequence[str]], list[Sides]] = {"eval": self._exact, "faithful": self._faithful}[mode]
        found = dict(zip(distinct, scores(distinct), strict=True))
        return [found[text] for text in cut]

    def _strings(self, text: str, side: Sequence[str]) -> list[list[int]]:
        """The tokens of a text after each opener of a side."""
        strings = [opener.replace("{text}", text) for opener in side]
        rows: list[list[int]] = self._tokenizer(strings, truncation=True, max_length=self._longest).input_ids
        return rows

    # ---------------------------------------------------------------------------- eval
    def _exact(self, texts: Sequence[str]) -> list[Sides]:
        self._model.eval()
        strings = [row for text in texts for side in self._openers for row in self._strings(text, side)]
        means = iter(self._means(strings))
        return [Sides(*(_mean([next(means) for _ in side]) for side in self._openers)) for _ in texts]

    def _means(self, strings: Sequence[list[int]]) -> list[float]:
        """The mean log-probability of each string's tokens after the first; those of like length together."""
        means = [0.0] * len(strings)
        order = sorted(range(len(strings)), key=lambda place: len(strings[place]), reverse=True)
        while order:
            width = max(1, len(strings[order[0]]))
            together, order = order[: max(1, self._at_once // width)], order[max(1, self._at_once // width) :]
            tokens, mask = self._batch([strings[place] for place in together])
            own = mask[:, 1:]
            sums = (self._logprobs(tokens, mask) * own).sum(-1) / own.sum(-1).clamp(min=1)
            for place, mean in zip(together, sums.tolist(), strict=True):
                means[place] = mean
        return means

    # ------------------------------------------------------------------------ faithful
    def _faithful(self, texts: Sequence[str]) -> list[Sides]:
        self._model.train()
        return [self._repeated(text) for text in texts]

    def _repeated(self, text: str) -> Sides:
        """A text's dropout is drawn from the text, so that its score is the same in any company."""
        with torch.random.fork_rng([self._device] if self._device == "cuda" else []):
            torch.manual_seed(int(hashlib.sha256(text.encode()).hexdigest()[:8], 16))
            (warm, warm_error), (cold, cold_error) = (self._passes(self._strings(text, side)) for side in self._openers)
        return Sides(warm, cold, math.hypot(warm_error, cold_error))

    def _passes(self, strings: Sequence[list[int]]) -> tuple[float, float]:
        """The mean of a side's scores over all passes, and its standard error. Many passes are one batch of rows."""
        tokens, mask = self._batch(strings)
        most = max(1, self._at_once // max(1, tokens.numel()))
        scores: list[float] = []
        while len(scores) < REPEATS:
            count = min(most, REPEATS - len(scores))
            logprobs = self._logprobs(tokens.repeat(count, 1), mask.repeat(count, 1))
            scores += logprobs.reshape(count, -1).mean(-1).tolist()
        spread = math.fsum((score - _mean(scores)) ** 2 for score in scores) / (REPEATS - 1)
        return _mean(scores), math.sqrt(spread / REPEATS)

    # ---------------------------------------------------------------------------- both
    def _batch(self, strings: Sequence[list[int]]) -> tuple[torch.Tensor, torch.Tensor]:
        """Strings padded on the right with token 0, and where they are not padding."""
        width = max(2, *map(len, strings))
        tokens = torch.tensor([[*row, *[0] * (width - len(row))] for row in strings], device=self._device)
        mask = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in strings], device=self._device)
        return tokens, mask

    @torch.inference_mode()
    def _logprobs(self, tokens: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """The log-probability of every token after the first."""
        logits = self._model(input_ids=tokens, attention_mask=mask, use_cache=False).logits[:, :-1].float()
        return logits.log_softmax(-1).gather(-1, tokens[:, 1:, None])[..., 0]


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)


def _storable(text: str) -> str:
    """Half a surrogate pair is no text that a tokenizer takes."""
    return text.encode("utf-8", "replace").decode("utf-8")
