"""What exact warmth costs beside the published way: 200 passes per text, each on its own.

    python benchmarks/warmth.py

A random model in GPT-2's shape, large enough that its arithmetic and not the calls take the time; texts of up to 300
characters, two letters a token. CPU time of this process, one thread. Both ways score texts of the same lengths: many
together in eval mode (median of repeats), a few of them 200 times a text. The last line is one JSON object: eval_ms and
separate_ms per text, their ratio speedup, and max_abs_diff, the largest difference between texts scored together and
strings scored one by one without padding.
"""

import functools
import json
import random
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import machine
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import AutoModelForCausalLM, AutoTokenizer, GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

from orchestrator.settings_warmth import PUBLISHED
from orchestrator.warmth import REPEATS, Ruler

LETTERS, LENGTHS = "abcdefghijklmnopqrstuvwxyz", (30, 120, 210, 300)
TEXTS, SEPARATE, ROUNDS = 64, 4, 3


def write_model(folder: Path) -> None:
    """A tokenizer of pairs of letters, and a model that has learnt nothing."""
    torch.manual_seed(0)
    pieces = [*sorted(pre_tokenizers.ByteLevel.alphabet()), *(a + b for a in LETTERS for b in LETTERS)]
    vocabulary = {piece: place for place, piece in enumerate(pieces)}
    merges = [(a, b) for a in LETTERS for b in LETTERS]
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    PreTrainedTokenizerFast(tokenizer_object=tokenizer).save_pretrained(folder)
    shape = GPT2Config(vocab_size=4096, n_layer=4, n_embd=128, n_head=4, bos_token_id=0, eos_token_id=0)
    GPT2LMHeadModel(shape).save_pretrained(folder)


def texts() -> list[str]:
    """Random words; lengths take turns, so that any four in a row are like all of them."""
    drawn = random.Random(0)
    words = ["".join(drawn.choices(LETTERS, k=drawn.randint(2, 9))) for _ in range(2000)]
    return [" ".join(drawn.choices(words, k=80))[: LENGTHS[place % len(LENGTHS)]] for place in range(TEXTS)]


class Separate:
    """The same model, asked as the published code asks it."""

    def __init__(self, folder: Path) -> None:
        self._tokenizer = AutoTokenizer.from_pretrained(folder)
        self._model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)

    @torch.inference_mode()
    def passes(self, text: str) -> None:
        """A hundred passes of each side, a pass at a time."""
        self._model.train()
        for side in PUBLISHED:
            rows = [torch.tensor(self._tokenizer(each.replace("{text}", text)).input_ids) for each in side]
            tokens = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)
            mask = torch.nn.utils.rnn.pad_sequence([torch.ones_like(row) for row in rows], batch_first=True)
            for _ in range(REPEATS):
                self._model(input_ids=tokens, attention_mask=mask, labels=tokens).loss.item()

    @torch.inference_mode()
    def exact(self, text: str) -> float:
        """Warmth, string by string, with nothing beside it."""
        self._model.eval()
        warm, cold = (statistics.fmean(self._mean(each.replace("{text}", text)) for each in side) for side in PUBLISHED)
        return warm - cold

    def _mean(self, string: str) -> float:
        tokens = torch.tensor([self._tokenizer(string).input_ids])
        return -float(self._model(input_ids=tokens, labels=tokens).loss)


def cpu_ms(count: int, work: Callable[[], object]) -> float:
    began = time.process_time()
    work()
    return 1000 * (time.process_time() - began) / count


def main() -> None:
    torch.set_num_threads(1)
    asked = texts()
    with tempfile.TemporaryDirectory() as folder:
        write_model(Path(folder))
        ruler, separate = Ruler(folder), Separate(Path(folder))
    together = [side.warmth for side in ruler.measure(asked)]
    eval_ms = statistics.median(cpu_ms(TEXTS, lambda: ruler.measure(asked)) for _ in range(ROUNDS))
    separate_ms = statistics.mean(cpu_ms(1, functools.partial(separate.passes, text)) for text in asked[:SEPARATE])
    print(f"{machine.here()}, one thread")
    figures = {
        "eval_ms": round(eval_ms, 2),
        "separate_ms": round(separate_ms, 1),
        "speedup": round(separate_ms / eval_ms, 1),
        "max_abs_diff": max(abs(mine - separate.exact(text)) for text, mine in zip(asked, together, strict=True)),
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
