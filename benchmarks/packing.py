"""Many adapters trained on one base: what is gained by training them together, and by keeping the base loaded.

    python benchmarks/packing.py [--part curve|lab|sweep|shapes] [MODEL]

MODEL is a folder; if not given, the lab's coupled base is: the one that is built in seconds, which has the shape of the
whole one, as what it has learnt has no part in how long anything takes. The parts take about two minutes each.

What a step has to do is arithmetic: about four operations per parameter of the base and token (no gradient is taken of
the base's own weights), the same alone and together. Packing can only save what a step costs besides: the calls, the
poor shape of small products. The curve goes from 2 tokens per adapter and step (one read, one learnt) to 1,024.

Ratios are of steps of the same code: eight steps of one adapter each over one step of eight, in CPU seconds, medians of
interleaved repeats; PEFT's own step stands beside them. The last line is one JSON object: resident_start_s,
fresh_cpu_ratio_8, small_ratio_8, recipe_ratio_8, auto_ratio_min, max_abs_diff, overhead_cpu_s_per_trial, curve.
On a GPU the clock is on the wall, and `shapes` has the models of `packed_shapes.py`; what needs Ray is left out where
there is none.
"""

import argparse
import importlib.util
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import machine
import packed_shapes
import torch
from packed_shapes import examples_of, once
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM

from orchestrator import train
from orchestrator.errors import WarmthError
from orchestrator.pack import Resident
from orchestrator.pack_member import Job, Member, Trained
from orchestrator.pack_width import clock
from orchestrator.settings_training import TrainingSettings
from orchestrator.tables import Chat
from orchestrator.train_data import Batch, Example

TOKENS = (2, 4, 16, 64, 256, 1024)
"""Tokens per adapter and step: one conversation up to 64 tokens, several of 64 beyond."""
MEMBERS, REPEATS, LONG = 8, 5, 64
CUDA = torch.cuda.is_available()


class Silent:
    """Listens, and remembers the weights at the end."""

    def __init__(self) -> None:
        self.weights: dict[str, torch.Tensor] = {}
        self.first_step: float | None = None

    def begun(self, member: Member) -> None: ...

    def moved(self, member: Member) -> None: ...

    def kept(self, member: Member, epoch: float) -> None:  # noqa: ARG002
        self.weights[member.job.name] = member.state()["weights"].clone()
        self.first_step = self.first_step or time.perf_counter()

    def done(self, job: Job, trained: Trained) -> None: ...

    def failed(self, job: Job, error: WarmthError) -> None:  # noqa: ARG002
        raise error


def jobs(count: int, rows: int, chats: Sequence[Chat | Example]) -> list[Job]:
    """Trials with the lab's settings, of one epoch."""
    settings = TrainingSettings(learning_rate=5e-4, batch=rows, epochs=1)
    return [Job(f"trial {seed}", chats, settings, seed, (1,)) for seed in range(count)]


def peft_step(base: str) -> Callable[[Batch], None]:
    """PEFT's own step on the same conversations, which it reads as rows of the same length."""
    settings = TrainingSettings()
    lora = LoraConfig(r=settings.rank, lora_alpha=16, lora_dropout=0.1, target_modules=list(settings.targets))
    model = get_peft_model(AutoModelForCausalLM.from_pretrained(base), lora).train().to("cuda" if CUDA else "cpu")
    optimizer = torch.optim.AdamW([each for each in model.parameters() if each.requires_grad], weight_decay=0.0)

    def once(batch: Batch) -> None:
        rows = batch.tokens.view(len(batch.lengths), -1).to(model.device)
        model(input_ids=rows, labels=rows).loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    return once


def timed(work: Callable[[], Any], times: int) -> float:
    began = clock()
    for _ in range(times):
        work()
    return (clock() - began) / times


def point(resident: Resident, base: str, tokens: int) -> dict[str, float]:
    """One point of the curve: milliseconds of a step alone, of PEFT's, and of eight together; and the ratios."""
    rows, steps = max(1, tokens // LONG), max(4, min(14, 2048 // tokens))
    vocabulary = resident.model.config.vocab_size
    examples = examples_of(rows * (24 if tokens > LONG else 16), min(tokens, LONG), vocabulary)
    members = [Member(resident, job) for job in jobs(MEMBERS, rows, examples)]
    theirs = peft_step(base)
    seen: dict[str, list[float]] = {"alone": [], "peft": [], "together": []}
    for repeat in range(REPEATS + 1):
        alone = timed(lambda: once(resident, members[:1]), steps)
        peft = timed(lambda: theirs(members[0].batch), steps)
        together = timed(lambda: once(resident, members), max(2, steps // 4))
        if repeat:
            for name, each in (("alone", alone), ("peft", peft), ("together", together)):
                seen[name].append(1000 * each)
    found = {f"{name}_ms": round(statistics.median(each), 2) for name, each in seen.items()}
    ratio = statistics.median(
        MEMBERS * alone / together for alone, together in zip(seen["alone"], seen["together"], strict=True)
    )
    auto, width = automatic(resident, jobs(MEMBERS, rows, examples), tokens > LONG)
    peft_ratio = MEMBERS * found["peft_ms"] / found["together_ms"]
    return found | {
        "ratio": round(ratio, 2),
        "ratio_to_peft": round(peft_ratio, 2),
        "auto": round(auto, 3),
        "auto_width": width,
    }


def automatic(resident: Resident, given: Sequence[Job], long: bool) -> tuple[float, int]:
    """Trials with the width that is found in training them, over the same trials one after another.

    Eight of 16 steps, four of 24 where steps are long.
    """
    ratios, width = [], 1
    given = given[:4] if long else given
    for _ in range(REPEATS):
        began = clock()
        for job in given:
            train.train_all(resident, [job], Silent(), most=1)
        between = clock()
        width = train.train_all(resident, given, Silent(), most=MEMBERS).now(MEMBERS)
        ratios.append((between - began) / (clock() - between))
    return statistics.median(ratios), width


def lab_recipe(resident: Resident, chats: Sequence[Chat]) -> dict[str, float]:
    """The lab's own conversations: eight steps over one of eight, and how soon a later trial takes its first step."""
    ratios, starts = [], []
    for _ in range(REPEATS):
        heard, entered = Silent(), time.perf_counter()
        brief = TrainingSettings(learning_rate=5e-4, epochs=1e-3)
        train.train_all(resident, [Job("one step", chats, brief, 0, (1e-3,))], heard, most=1)
        assert heard.first_step
        starts.append(heard.first_step - entered)
        members = [Member(resident, job) for job in jobs(MEMBERS, 16, chats)]
        once(resident, members)
        began = clock()
        for member in members * 2:
            once(resident, [member])
        between = clock()
        once(resident, members)
        once(resident, members)
        ratios.append((between - began) / (clock() - between))
    return {
        "recipe_ratio_8": round(statistics.median(ratios), 2),
        "resident_start_s": round(statistics.median(starts), 3),
    }


def difference(resident: Resident, chats: Sequence[Chat]) -> float:
    """The largest difference of any weight after training together and alone, over eight trials."""
    alone, together, given = Silent(), Silent(), jobs(MEMBERS, 16, chats)
    for job in given:
        train.train_all(resident, [job], alone, most=1)
    train.train_all(resident, given, together, most=MEMBERS)
    return max(float((alone.weights[name] - each).abs().max()) for name, each in together.weights.items())


def sweep_of(base: str, seeds: Sequence[int]) -> None:
    """The lab's trials of these seeds, two epochs each, on one resident base."""
    torch.set_num_threads(1)
    settings = TrainingSettings(learning_rate=5e-4, epochs=2)
    given = [Job(str(seed), lab_chats(), settings, seed, (0.5, 1, 1.5, 2)) for seed in seeds]
    train.train_all(Resident(base), given, Silent(), most=16)


def fresh(base: str) -> float:
    """CPU seconds of eight processes with a trial each over those of one process with all eight; two run at a time."""
    parts = [list(range(MEMBERS)), *([seed] for seed in range(MEMBERS))]
    with ThreadPoolExecutor(2) as pool:
        together, *alone = pool.map(lambda part: in_a_process(base, part), parts)
    return sum(alone) / together


def in_a_process(base: str, seeds: Sequence[int]) -> float:
    """CPU seconds that a process of its own takes for the trials of these seeds, from its start to its end."""
    told = f"import os, packing; packing.sweep_of({base!r}, {list(seeds)}); print('CPU', sum(os.times()[:4]))"
    here = Path(__file__).parent
    done = subprocess.run([sys.executable, "-c", told], check=True, capture_output=True, text=True, cwd=here)
    return float(done.stdout.split("CPU")[-1])


def lab_chats() -> Sequence[Chat]:
    """The lab's 480 conversations."""
    from orchestrator import chats
    from orchestrator.settings_training import Data

    return chats.lab(Data())


def lab_base() -> str:
    """The lab's coupled base that is built in seconds, built if it is not there."""
    from orchestrator import lab, lab_recipe

    recipe = lab_recipe.recipe("coupled", 0, "short")
    if not lab_recipe.is_built(recipe):
        lab.build(recipe, lambda *_: None)
    return str(lab_recipe.folder(recipe) / "instruct")


def curve(base: str) -> dict[str, Any]:
    """By tokens per adapter and step."""
    resident = Resident(base)
    found: dict[int, dict[str, float]] = {}
    for tokens in TOKENS:
        found[tokens] = point(resident, base, tokens)
        print(tokens, found[tokens], flush=True)
    return {
        "curve": found,
        "small_ratio_8": found[16]["ratio"],
        "auto_ratio_min": min(each["auto"] for each in found.values()),
    }


def of_the_lab(base: str) -> dict[str, Any]:
    """With the lab's own conversations."""
    resident, chats = Resident(base), lab_chats()
    return lab_recipe(resident, chats) | {"max_abs_diff": difference(resident, chats)}


def whole_sweeps(base: str) -> dict[str, Any]:
    """Of processes: what it takes to start one, and what Tune takes besides."""
    found = {"fresh_cpu_ratio_8": round(fresh(base), 2)}
    if importlib.util.find_spec("ray"):
        from orchestration import overhead

        found["overhead_cpu_s_per_trial"] = round(overhead(), 3)
    return found


def shapes(base: str) -> dict[str, Any]:
    """Of models as large as the machine is made for."""
    return {"shapes": packed_shapes.measure(base)}


PARTS: dict[str, Callable[[str], dict[str, Any]]] = {
    "curve": curve,
    "lab": of_the_lab,
    "sweep": whole_sweeps,
    "shapes": shapes,
}


def main() -> None:
    """Print figures as they come, then all of them as one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", nargs="?")
    parser.add_argument("--part", choices=PARTS, action="append")
    torch.set_num_threads(1)
    asked = parser.parse_args()
    base = asked.model or lab_base()
    found: dict[str, Any] = {}
    for part in asked.part or PARTS:
        began = time.monotonic()
        found |= PARTS[part](base)
        print(f"{part}: {time.monotonic() - began:.0f} s", flush=True)
    print(json.dumps({**found, "machine": machine.here()}))


if __name__ == "__main__":
    main()
