"""What vLLM makes room for in every adapter's slot when it starts: a rank, and the layers that adapters change."""

from collections.abc import Iterable
from dataclasses import dataclass

from safetensors import SafetensorError, safe_open

from .engine import RequestError
from .engine_folders import WEIGHTS, adapters_in, folder_of, same_base
from .engine_lora import KEY, Adapter

RANKS = (8, 16, 32, 64, 128, 256, 320, 512)
"""The ranks that vLLM makes room for."""
USUAL = frozenset({"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"})
NEVER = frozenset({"lm_head"})
"""With an adapter for the last layer, vLLM ends on a processor when it is to score a prompt."""


@dataclass(frozen=True)
class Room:
    """The largest rank, and the last parts of the layers' names."""

    rank: int = RANKS[0]
    layers: frozenset[str] = USUAL

    def check(self, name: str, adapter: Adapter) -> None:
        """Raises RequestError for an adapter that vLLM would serve in part, or with the wrong scale, without a word."""
        ranks = {down.shape[0] for down, _ in adapter.layers.values()}
        lost = sorted(_last(adapter.layers) - self.layers)
        if len(ranks) > 1 or NEVER & _last(adapter.layers):
            problem = f"layers {', '.join(lost)}" if lost else f"layers of ranks {sorted(ranks)}"
            raise _unfit(name, f"vllm serves none with {problem}; take resources.engine: transformers")
        if adapter.rank > self.rank or lost:
            had = f"rank {self.rank} and {', '.join(sorted(self.layers))}"
            raise _unfit(name, f"it came after vllm had made room for {had}; end serving and start it again")


def _unfit(name: str, why: str) -> RequestError:
    return RequestError(f"adapter {name} is not served: {why}", "model")


def needed(base: str, adapters: str | None) -> Room:
    """Room for the adapters that are there; a damaged one is left for when it is asked for."""
    found = [_shape(adapters or "", name) for name, own in adapters_in(adapters or "") if same_base(own, base)]
    largest = max((rank for rank, _ in found), default=RANKS[0])
    layers = frozenset(name for _, names in found for name in names) - NEVER
    return Room(next((rank for rank in RANKS if rank >= largest), RANKS[-1]), layers or USUAL)


def _shape(adapters: str, name: str) -> tuple[int, set[str]]:
    """The largest rank of an adapter and the layers that it changes, from the head of its file."""
    try:
        with safe_open(folder_of(adapters, name) / WEIGHTS, framework="pt") as file:
            pairs = {key: file.get_slice(key).get_shape() for key in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, RequestError):
        return 0, set()
    names = [match for key in pairs if (match := KEY.fullmatch(key))]
    ranks = (pairs[match[0]][0] for match in names if match[2] == "A")
    return max(ranks, default=0), _last(match[1] for match in names)


def _last(layers: Iterable[str]) -> set[str]:
    return {name.rpartition(".")[2] for name in layers}
