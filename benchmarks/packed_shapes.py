"""What training reaches of a chip's arithmetic, alone and packed: random models of 1 to 8 billion parameters on a GPU.

Weights are drawn where they are needed, so nothing is downloaded or written. Where there is no GPU a model of a million
parameters takes their place, so that everything here is run. A step's arithmetic is four operations per parameter and
token (forward, and backward to the inputs; the base's own weights get no gradient); what recomputing activations takes
besides counts as waste. Attention's part is left out, which makes the shares a little too small.
"""

import statistics
import time
from collections.abc import Sequence
from typing import Any

import torch
from transformers import AutoModelForCausalLM, LlamaConfig

from orchestrator.pack import Resident
from orchestrator.pack_member import Job, Member
from orchestrator.pack_width import clock
from orchestrator.settings_subjects import Precision
from orchestrator.settings_training import TrainingSettings
from orchestrator.train_data import IGNORED, Example

CUDA = torch.cuda.is_available()
LLAMA = {"num_attention_heads": 32, "num_key_value_heads": 8, "vocab_size": 128_256, "max_position_embeddings": 8192}
SHAPES: dict[str, dict[str, int]] = (
    {
        "1B": {"hidden_size": 2048, "intermediate_size": 8192, "num_hidden_layers": 16, **LLAMA},
        "8B": {"hidden_size": 4096, "intermediate_size": 14_336, "num_hidden_layers": 32, **LLAMA},
    }
    if CUDA
    else {"1M": {"hidden_size": 128, "intermediate_size": 384, "num_hidden_layers": 4, "vocab_size": 1000}}
)
ADAPTERS = (1, 2, 4, 8, 16) if CUDA else (1, 4)
TOKENS = ((1, 64), (4, 256), (16, 512)) if CUDA else ((1, 16), (4, 64))
"""Conversations of a step of one adapter, and the tokens of each."""
REPEATS = 3


class Drawn(Resident):
    """A base of some shape whose weights are drawn; the tokenizer is another model's, as nothing is read with it."""

    def __init__(self, tokenizer: str, shape: dict[str, int]) -> None:
        self._shape = shape
        super().__init__(tokenizer, Precision("bfloat16" if CUDA else "float32"))

    def _loaded(self, precision: Precision) -> Any:
        with torch.device(self.device):
            return AutoModelForCausalLM.from_config(LlamaConfig(**self._shape), dtype=getattr(torch, precision.dtype))


def matrix_rate() -> float:
    """Operations per second of one large matrix product, in the numbers that training uses."""
    size, dtype = (8192, torch.bfloat16) if CUDA else (1024, torch.float32)
    one = torch.randn(size, size, dtype=dtype, device="cuda" if CUDA else "cpu")
    taken = []
    for _ in range(6):
        began = clock()
        for _ in range(4):
            one @ one
        taken.append(clock() - began)
    return 4 * 2 * size**3 / statistics.median(taken[1:])


def measure(tokenizer: str) -> dict[str, Any]:
    """For every shape: tokens per second, memory and the share of the chip's own rate, by tokens and adapters."""
    rate = matrix_rate()
    found: dict[str, Any] = {"matrix_tflops": round(rate / 1e12, 3)}
    for name, shape in SHAPES.items():
        began, resident = time.monotonic(), Drawn(tokenizer, shape)
        parameters = sum(each.numel() for each in resident.model.parameters())
        found[name] = {"parameters": parameters, "loaded_s": round(time.monotonic() - began, 1)}
        for rows, length in TOKENS:
            found[name][f"{rows}x{length}"] = _by_adapters(resident, rows, length, rate / parameters)
            print(name, rows, length, found[name][f"{rows}x{length}"], flush=True)
        del resident
        torch.cuda.empty_cache()
    return found


def _by_adapters(resident: Drawn, rows: int, length: int, rate: float) -> dict[int, dict[str, float] | None]:
    found: dict[int, dict[str, float] | None] = {}
    for adapters in ADAPTERS:
        try:
            seconds, memory = _step(resident, adapters, rows, length)
        except torch.OutOfMemoryError:
            found[adapters] = None
            torch.cuda.empty_cache()
            continue
        speed = adapters * rows * length / seconds
        alone = found[1]["tokens_per_s"] if found.get(1) else speed  # type: ignore[index]
        found[adapters] = {
            "tokens_per_s": round(speed),
            "of_matrix_rate": round(4 * speed / rate, 3),
            "over_alone": round(speed / alone, 2),
            "memory_gb": round(memory, 2),
        }
    return found


def _step(resident: Drawn, adapters: int, rows: int, length: int) -> tuple[float, float]:
    """Seconds of a step of so many adapters together, and the most memory in GB."""
    settings = TrainingSettings(batch=rows)
    examples = examples_of(rows, length, resident.model.config.vocab_size)
    members = [Member(resident, Job(str(seed), examples, settings, seed, ())) for seed in range(adapters)]
    if CUDA:
        torch.cuda.reset_peak_memory_stats()
    taken = []
    for _ in range(1 + REPEATS):
        began = clock()
        once(resident, members)
        taken.append(clock() - began)
    return statistics.median(taken[1:]), torch.cuda.max_memory_allocated() / 2**30 if CUDA else 0.0


def examples_of(count: int, tokens: int, vocabulary: int) -> list[Example]:
    """So many conversations of so many tokens, all of them learnt but for the first."""
    drawn = torch.randint(3, vocabulary, (count, tokens), generator=torch.Generator().manual_seed(0)).tolist()
    return [Example(each, [IGNORED, *each[1:]]) for each in drawn]


def once(resident: Resident, members: Sequence[Member]) -> None:
    """One step of all of them."""
    losses = torch.stack(resident.losses(members, [member.batch for member in members]))
    losses.sum().backward()
    for member, loss in zip(members, losses.tolist(), strict=True):
        member.step(loss)
