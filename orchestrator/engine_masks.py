"""Who may look at whom, for rows that each start at position 0 of their own place in the cache."""

import torch
from transformers import PreTrainedModel

from .errors import WarmthError

Mask = torch.Tensor | dict[str, torch.Tensor]
FULL, SLIDING = "full_attention", "sliding_attention"


class Masks:
    """The attention masks of one model, in the form its forward pass takes ready-made ones.

    That form is transformers' own (`create_masks_for_generate`): one mask, or one for each kind of layer.
    """

    def __init__(self, model: PreTrainedModel) -> None:
        config = model.config.get_text_config()
        kinds = getattr(config, "layer_types", None)
        self._by_kind = kinds is not None
        self._window: int = getattr(config, "sliding_window", None) or 0
        self._kinds = set(kinds or [SLIDING if self._window else FULL])
        self._added = config._attn_implementation == "eager"
        self._dtype, self._device = model.dtype, model.device
        if other := self._kinds - {FULL, SLIDING}:
            raise WarmthError(f"{model.name_or_path}: layers of kind {', '.join(sorted(other))} are not served")

    def reading(self, length: int) -> Mask:
        """For whole prompts: [1, 1, length, length]."""
        place = torch.arange(length, device=self._device)
        return self._masks(place[None], length)

    def speaking(self, positions: torch.Tensor, length: int) -> Mask:
        """For one new token per row, at these positions [rows]: [rows, 1, 1, length]."""
        return self._masks(positions[:, None], length)

    def _masks(self, positions: torch.Tensor, length: int) -> Mask:
        masks = {kind: self._mask(kind, positions[:, None, :, None], length) for kind in self._kinds}
        return masks if self._by_kind else next(iter(masks.values()))

    def _mask(self, kind: str, positions: torch.Tensor, length: int) -> torch.Tensor:
        others = torch.arange(length, device=self._device)
        seen = others <= positions
        if kind == SLIDING:
            seen &= others > positions - self._window
        if not self._added:
            return seen
        return torch.zeros((), dtype=self._dtype).where(seen, torch.finfo(self._dtype).min)
