"""SocioT Warmth: how much likelier a reply is after a friend's opener than after a stranger's.

The metric of Cheng et al. (arXiv 2502.13259), as their code computes it but exact: the model is in eval mode, and
each string's score is the mean log-probability of its own tokens, opener included, padding left out. A side's score is
the mean over its openers; warmth is the warm side minus the cold side, in nats per token.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from .settings_asking import Warmth

BATCH = 256
"""Strings scored at once."""


@dataclass(frozen=True)
class Sides:
    """Mean log-probability per token after the warm and after the cold openers."""

    warm: float
    cold: float


class Ruler:
    """Scores texts with any causal language model."""

    def __init__(self, model: str, settings: Warmth) -> None:
        self._settings = settings
        self._device = "cuda" if torch.cuda.is_available() else "cpu"
        self._tokenizer = AutoTokenizer.from_pretrained(model, padding_side="right")
        self._model = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32).to(self._device).eval()

    def measure(self, texts: Sequence[str]) -> list[Sides]:
        """Both sides of every text, in the order given."""
        cut = [text[: self._settings.max_characters] for text in texts]
        warm, cold = (
            self._side(cut, openers) for openers in (self._settings.warm_openers, self._settings.cold_openers)
        )
        return [Sides(*pair) for pair in zip(warm, cold, strict=True)]

    def _side(self, texts: Sequence[str], openers: Sequence[str]) -> list[float]:
        strings = [opener.replace("{text}", text) for text in texts for opener in openers]
        means = torch.cat(
            [self._means(strings[start : start + BATCH]) for start in range(0, len(strings), BATCH)] or [torch.zeros(0)]
        )
        return means.reshape(len(texts), len(openers)).mean(-1).tolist()

    @torch.inference_mode()
    def _means(self, strings: Sequence[str]) -> torch.Tensor:
        """The mean log-probability of each string's tokens after the first."""
        batch = [self._tokenizer(string).input_ids for string in strings]
        width = max(map(len, batch))
        tokens = torch.tensor([[*row, *[0] * (width - len(row))] for row in batch], device=self._device)
        mask = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in batch], device=self._device)
        logits = self._model(input_ids=tokens, attention_mask=mask).logits[:, :-1].float()
        logprobs = logits.log_softmax(-1).gather(-1, tokens[:, 1:, None])[..., 0] * mask[:, 1:]
        return (logprobs.sum(-1) / mask[:, 1:].sum(-1).clamp(min=1)).cpu()
