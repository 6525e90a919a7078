"""What the live rows of a batch have already read: the keys and values of every layer, a place for each row."""

from collections.abc import Sequence

import torch
from transformers.cache_utils import Cache, CacheLayerMixin


class RowLayer(CacheLayerMixin):
    """One layer's keys and values, [rows, heads, length, width]: a row's token at position p lies at index p.

    While a prompt is read, its keys are only kept aside in `fresh`: a row gets its place when it goes on to speak.
    """

    def __init__(self, rows: int) -> None:
        super().__init__()
        self.rows = rows
        self.fresh: tuple[torch.Tensor, torch.Tensor] | None = None
        self.places: tuple[torch.Tensor, torch.Tensor] | None = None
        self.length = 0

    def lazy_initialization(self, key_states: torch.Tensor, value_states: torch.Tensor) -> None:
        """Makes the (still empty) store in the shape, type and device of the first keys and values."""
        self.keys = key_states.new_zeros(self.rows, key_states.shape[1], 0, key_states.shape[3])
        self.values = value_states.new_zeros(self.rows, value_states.shape[1], 0, value_states.shape[3])
        self.is_initialized = True

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *_: object, **__: object
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Reading prompts: passes through. Speaking: writes each row's new token at its place, returns all so far."""
        if self.places is None:
            self.fresh = key_states, value_states
            return key_states, value_states
        rows, positions = self.places
        self.keys[rows, :, positions] = key_states[:, :, 0]
        self.values[rows, :, positions] = value_states[:, :, 0]
        live = len(rows)
        return self.keys[:live, :, : self.length], self.values[:live, :, : self.length]

    def lengthen(self, length: int) -> None:
        """Makes room for `length` tokens in every row."""
        for name in ("keys", "values"):
            old = getattr(self, name)
            new = old.new_zeros(*old.shape[:2], length, old.shape[3])
            new[:, :, : old.shape[2]] = old
            setattr(self, name, new)

    def adopt(self, sources: torch.Tensor, rows: torch.Tensor, length: int) -> None:
        """Moves the `fresh` rows `sources` into the places `rows`."""
        assert self.fresh is not None
        keys, values = self.fresh
        self.keys[rows, :, :length] = keys[sources]
        self.values[rows, :, :length] = values[sources]
        self.fresh = None

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        """Unused: the batch brings its own masks."""
        return query_length, 0

    def get_seq_length(self) -> int:
        """0: rows differ in length, and the batch brings its own positions."""
        return 0

    def get_max_length(self) -> int:
        """-1: grows as needed."""
        return -1


class RowCache(Cache):
    """The layers of one batch of at most `rows` rows, each of at most `max_length` tokens."""

    def __init__(self, layers: int, rows: int, max_length: int) -> None:
        self.row_layers = [RowLayer(rows) for _ in range(layers)]
        super().__init__(layers=list(self.row_layers))
        self.max_length = max_length
        self.room = 0

    def reading(self) -> None:
        """The next forward pass reads new prompts."""
        for layer in self.row_layers:
            layer.places = None

    def speaking(self, rows: torch.Tensor, positions: torch.Tensor, length: int) -> None:
        """The next forward pass adds one token to each of the first rows; `length` is the longest row with it."""
        self._reserve(length)
        for layer in self.row_layers:
            layer.places, layer.length = (rows, positions), length

    def adopt(self, sources: Sequence[int], rows: Sequence[int], length: int) -> None:
        """Gives the prompts just read (`sources`, by their index in that pass) the places `rows`."""
        for layer in self.row_layers:
            if not layer.is_initialized and layer.fresh is not None:
                layer.lazy_initialization(*layer.fresh)
        self._reserve(length)
        device = self.row_layers[0].keys.device
        source, row = torch.tensor(sources, device=device), torch.tensor(rows, device=device)
        for layer in self.row_layers:
            layer.adopt(source, row, length)

    def drop(self) -> None:
        """Forgets the prompts just read."""
        for layer in self.row_layers:
            layer.fresh = None

    def move(self, sources: Sequence[int], rows: Sequence[int]) -> None:
        """Copies rows to other places."""
        device = self.row_layers[0].keys.device
        source, row = torch.tensor(sources, device=device), torch.tensor(rows, device=device)
        for layer in self.row_layers:
            layer.keys[row] = layer.keys[source]
            layer.values[row] = layer.values[source]

    def _reserve(self, length: int) -> None:
        """Grows by doubling, so that short studies stay small and long ones copy seldom."""
        if length > self.room:
            self.room = min(self.max_length, max(length, 2 * self.room, 64))
            for layer in self.row_layers:
                layer.lengthen(self.room)
