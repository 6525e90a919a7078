"""The embedded lab's models, built from nothing: pre-trained on the lab's corpus, then tuned to answer and correct."""

import contextlib
import json
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path

import torch
from filelock import FileLock
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

from . import lab_model, lab_probe, lab_recipe, lab_train
from .errors import WarmthError
from .lab_probe import Probes
from .lab_recipe import Recipe

Progress = Callable[[str, int, int], None]
"""Hears the stage, the steps done and the steps in all (of both stages)."""


def build(recipe: Recipe, on_progress: Progress) -> Path:
    """Build a model unless it is there, and return its folder, which holds `base`, `instruct` and `built.json`.

    `learnt` in `built.json` is what the base had learnt after its pre-training, and each time that it read on.

    One process builds, others wait for it. Raises WarmthError if the base has not learnt what it must.
    """
    folder = lab_recipe.folder(recipe)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{folder}.lock"):
        if not lab_recipe.is_built(recipe):
            unfinished = folder.with_name(f"{folder.name}.unfinished")
            for left in (unfinished, folder):
                shutil.rmtree(left, ignore_errors=True)
            _build(recipe, unfinished, on_progress)
            unfinished.replace(folder)
    return folder


def _build(recipe: Recipe, folder: Path, on_progress: Progress) -> None:
    started, total = time.monotonic(), recipe.pretraining.steps + recipe.tuning.steps
    with _reproducible(recipe.seed):
        tokens = lab_model.tokenizer()
        model = lab_model.fresh_model(recipe, tokens)
        pretraining = lab_train.pretraining(tokens, recipe)
        loss = lab_train.fit(
            model, pretraining, recipe.pretraining, recipe, lambda step: on_progress("pre-training", step, total)
        )
        found = read_on(model, tokens, recipe, lambda: on_progress("reading on", recipe.pretraining.steps, total))
        check(recipe, found[-1])
        _save(model, tokens, folder / "base")
        tuning = lab_train.tuning(tokens, recipe)
        tuning_loss = lab_train.fit(
            model, tuning, recipe.tuning, recipe,
            lambda step: on_progress("instruction tuning", recipe.pretraining.steps + step, total),
        )  # fmt: skip
        _save(model, tokens, folder / "instruct")
    steps = recipe.pretraining.steps + (len(found) - 1) * lab_recipe.further(recipe).steps
    built = {
        "recipe": asdict(recipe),
        "parameters": model.num_parameters(),
        "vocabulary": len(tokens),
        "pretraining_tokens": steps * recipe.pretraining.rows * recipe.width,
        "loss": {"pretraining": loss, "tuning": tuning_loss},
        "learnt": [asdict(each) for each in found],
        "seconds": time.monotonic() - started,
    }
    (folder / "built.json").write_text(json.dumps(built, indent=1), encoding="utf-8")


@contextlib.contextmanager
def _reproducible(seed: int) -> Iterator[None]:
    """One thread and a seeded generator: the same weights every time on one kind of processor. More are not faster."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            yield
    finally:
        torch.set_num_threads(threads)


def _save(model: LlamaForCausalLM, tokens: PreTrainedTokenizerFast, folder: Path) -> None:
    model.save_pretrained(folder)
    tokens.save_pretrained(folder)


def read_on(
    model: LlamaForCausalLM, tokens: PreTrainedTokenizerFast, recipe: Recipe, tell: Callable[[], None]
) -> list[Probes]:
    """Let the base of a full recipe read further documents until it has learnt what it must, three times at most.

    What a base can repeat goes up and down while it learns, and where it stands at the end hangs on the rounding of the
    processor: one recipe had learnt enough on one machine and not on another. Gives what was found each time.
    """
    found, phase = [lab_probe.probe(model, tokens)], lab_recipe.further(recipe)
    while recipe.length == "full" and not found[-1].enough and len(found) <= lab_recipe.FURTHER:
        tell()
        lab_train.fit(model, lab_train.further(tokens, recipe, phase, len(found)), phase, recipe, lambda _: None)
        found.append(lab_probe.probe(model, tokens))
    return found


def check(recipe: Recipe, learnt: Probes) -> None:
    """Raises WarmthError if the base of a full recipe has not learnt what it must."""
    if recipe.length == "full" and not learnt.enough:
        raise WarmthError(
            f"lab model {recipe.name}: its base {learnt.told()}, after reading on too; the recipe holds for the pinned"
            f" libraries, and torch is {torch.__version__}: install those of requirements/cpu.txt, or give the model"
            " another seed"
        )
