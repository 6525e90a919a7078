"""How vLLM is started: its environment and its arguments, for one base model and the adapters in a folder."""

import os
from typing import Any

from .engine import MOST_ALTERNATIVES
from .engine_vllm_room import Room
from .settings_subjects import Precision

MEMORY_SHARE = 0.9
"""Of each GPU, or of the part of it that is ours."""
MOST_CACHE = 4 * 2**30
"""Bytes of conversations kept on a processor, at most."""

EVERYWHERE = {
    "VLLM_NO_USAGE_STATS": "1",
    "VLLM_HOST_IP": "127.0.0.1",
    "VLLM_LOGGING_LEVEL": "ERROR",
    "VLLM_PLUGINS": "warmth",
    "VLLM_WORKER_MULTIPROC_METHOD": "spawn",
}
ON_A_PROCESSOR = {"VLLM_ENABLE_V1_MULTIPROCESSING": "0", "TORCHDYNAMO_DISABLE": "1", "OMP_NUM_THREADS": "1"}
"""The model runs in the engine's own process: a further one would import everything once more."""


def environment(gpus: float) -> None:
    """Set what vLLM reads from the environment, before it is imported: loopback alone, nothing reported, no plugins."""
    for name, value in {**EVERYWHERE, **({} if gpus else ON_A_PROCESSOR)}.items():
        os.environ.setdefault(name, value)


def arguments(
    base: str, room: Room, active: int, rows: int, gpus: float, precision: Precision, max_length: int | None
) -> dict[str, Any]:
    """The arguments of vLLM's engine. Tokens go in and come out: text is our own affair."""
    return {
        "model": base,
        "skip_tokenizer_init": True,
        "trust_remote_code": False,
        "dtype": precision.dtype,
        "max_model_len": max_length,
        "max_num_seqs": rows,
        "max_logprobs": MOST_ALTERNATIVES,
        "enable_prefix_caching": True,
        "enable_lora": True,
        "max_loras": active + 1,
        "max_lora_rank": room.rank,
        "lora_target_modules": sorted(room.layers),
        "disable_log_stats": True,
        **(_on_gpus(gpus) if gpus else _on_a_processor(base, rows, precision)),
    }


def _on_gpus(gpus: float) -> dict[str, Any]:
    """Several GPUs are those of the replica's placement group, in which Ray places vLLM's workers."""
    several = max(1, int(gpus))
    return {
        "tensor_parallel_size": several,
        "distributed_executor_backend": "ray" if several > 1 else "uni",
        "gpu_memory_utilization": MEMORY_SHARE * min(1, gpus),
    }


def _on_a_processor(base: str, rows: int, precision: Precision) -> dict[str, Any]:
    return {
        "distributed_executor_backend": "uni",
        "enforce_eager": True,
        "kv_cache_memory_bytes": min(MOST_CACHE, 2 * rows * _conversation(base, precision)),
    }


def _conversation(base: str, precision: Precision) -> int:
    """Bytes of keys and values of the longest conversation."""
    from transformers import AutoConfig

    text = AutoConfig.from_pretrained(base).get_text_config()
    heads = getattr(text, "num_key_value_heads", None) or text.num_attention_heads
    size = getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads
    number = 4 if precision.dtype == "float32" else 2
    return int(2 * text.num_hidden_layers * heads * size * number * text.max_position_embeddings)
