"""The names that are served: bases, and the adapters of theirs that lie in the run."""

import difflib
from collections.abc import Mapping

from .engine import UnknownModel
from .engine_folders import adapters_in, base_named, same_base
from .serve_model import Base

LONGEST = 255
"""Characters that a folder's name may have."""


class Names:
    """Which base a model's name belongs to. Adapters that come later are found when they are first asked for."""

    def __init__(self, bases: Mapping[str, Base]) -> None:
        self._bases = bases
        self._adapters = next(iter(bases.values())).adapters
        self._known = {name: name for name in bases}

    def base(self, model: str) -> str:
        """The name of the base that a model is, or is an adapter of. Raises UnknownModel, naming the nearest."""
        if model not in self._known:
            folder = base_named(self._adapters, model) if len(model) <= LONGEST else None
            found = folder and self._of(folder)
            if not found:
                raise UnknownModel(self._unknown(model), "model")
            self._known[model] = found
        return self._known[model]

    def all(self) -> dict[str, str]:
        """The base of every name, by the name: bases, then adapters."""
        there = {name: self._of(folder) for name, folder in adapters_in(self._adapters)}
        return {**{name: name for name in self._bases}, **{name: base for name, base in there.items() if base}}

    def _of(self, folder: str) -> str | None:
        return next((name for name, base in self._bases.items() if same_base(base.folder, folder)), None)

    def _unknown(self, model: str) -> str:
        names = [*self.all()]
        close = difflib.get_close_matches(model[:LONGEST], names, n=1, cutoff=0.4)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        shown = model if len(model) <= 100 else f"{model[:97]}..."
        return f"no model {shown!r} is served{hint} (GET /v1/models lists the {len(names)} that are)"
