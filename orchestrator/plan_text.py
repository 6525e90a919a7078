"""A plan's figures for people: what `warmth plan` prints. Pure."""

import textwrap
from collections.abc import Iterator, Mapping
from typing import Any

from . import clouds_text
from .power import ASSUMED

Figures = Mapping[str, Any]

WIDTH = 110

PLAIN = (
    "study", "models", "personas", "trials", "subjects", "questions", "prompts", "replies", "verdicts", "judge_calls",
    "answered_again", "rewrites", "warmth_replies",
)  # fmt: skip


def lines(figures: Figures) -> list[str]:
    """One figure to a line; what is unknown says so, and what a study has nothing of is left out."""
    told = {name: _told(figures[name]) for name in PLAIN if figures[name] != 0}
    told["questions"] += f", {_told(figures['prompts_per_question'])} prompts each" + _by_task(figures["tasks"])
    told |= {
        "tokens": _tokens(figures["tokens"]),
        "gpu_hours": _sum(figures["gpu_hours"], "{:,.1f} of an H100", figures["gpu_hours_by_stage"], ",.1f"),
        "api_cost": _sum(figures["api_cost_usd"], "${:,.0f}", figures["api_cost_usd_by_endpoint"], ",.0f"),
        "finds": _finds(figures),
    }
    shown = [f"{name.replace('_', ' '):<12} {value}" for name, value in told.items() if value]
    shown += [f"{'memory':<12} {name}: {_need(need)}" for name, need in figures["memory"].items()]
    shown += [f"{'placement':<12} {line}" for line in _placement(figures["placement"])]
    shown += [f"{label:<12} {line}" for label, line in clouds_text.lines(figures.get("cluster"))]
    shown += [f"{'on file':<12} {line}" for line in _on_file(figures.get("on_file", {}), figures["trials"])]
    shown += [f"{'does not fit':<12} {line}" for line in figures["does_not_fit"]]
    shown += [f"{'over budget':<12} {line}" for line in figures["over_budget"]]
    shown += [f"{'left out':<12} {line}" for line in figures["questions_left_out"]]
    shown += [f"{'left out':<12} {name}: {why}" for name, why in figures.get("left_out", {}).items()]
    shown += [f"{'not ready':<12} {line}" for line in figures.get("problems", ())]
    if figures.get("problems") == []:
        shown.append(f"{'ready':<12} models, data, tasks, keys, endpoints, CUDA, memory and disk were looked at")
    wrap = textwrap.TextWrapper(WIDTH, subsequent_indent=" " * 13, break_long_words=False, break_on_hyphens=False)
    return [*(line for each in shown for line in wrap.wrap(each)), *figures.get("subject_names", ())]


def _told(value: Any, form: str = ",") -> str:
    if value is None:
        return "unknown"
    if isinstance(value, list):
        return ", ".join(value)
    return f"{value:{form}}" if isinstance(value, int | float) else str(value)


def _by_task(tasks: Figures) -> str:
    if len(tasks) == 1:
        return ""
    told = (f"{name} {_told(task['questions'])}" for name, task in tasks.items())
    return f" ({', '.join(told)})"


def _tokens(stages: Figures) -> str:
    """Millions, by stage; only what there is of it."""
    told = (f"{name} {_stage(stage)}" for name, stage in stages.items() if stage["prompt"] != 0)
    return f"about {', '.join(told)}"


def _stage(stage: Figures) -> str:
    written = f" and {_millions(stage['reply'])} written" if stage["reply"] != 0 else ""
    return f"{_millions(stage['prompt'])} read{written}"


def _millions(tokens: float | None) -> str:
    return "unknown" if tokens is None else f"{tokens / 1e6:,.1f} M"


def _parts(parts: Figures, form: str) -> str:
    told = [f"{name} {_told(value, form)}" for name, value in parts.items() if value != 0]
    return f" ({', '.join(told)})" if len(told) > 1 else ""


def _sum(total: float | None, words: str, parts: Figures, form: str) -> str:
    """A total and what it is made of; nothing if it is nothing."""
    if total == 0:
        return ""
    return ("unknown" if total is None else f"about {words.format(total)}") + _parts(parts, form)


def _finds(figures: Figures) -> str:
    """What the design can detect, and what more seeds would."""
    effect, by_seeds = figures["detectable_effect_pp"], figures["detectable_effect_pp_by_seeds"]
    if effect is None:
        return "unknown"
    seeds = ", ".join(f"{value:.1f} with {n}" for n, value in by_seeds.items())
    own, spread = figures["detectable_effect_pp_of_these_adapters"], figures["assumed"]["adapter_spread_pp"]
    return (
        f"differences in error of {effect:.1f} points and more, between two tuned personas of a model "
        f"({seeds} seeds; {own:.1f} if nothing is to be said of other seeds than these). "
        f"{_helps(figures['more_helps_most_by_seeds'])} "
        f"Assumed: adapters stray by {spread:g} points from seed to seed (the lab's: {ASSUMED.adapter_spread_pp:g}), "
        "which one seed alone cannot show"
    )


def _helps(by_seeds: Mapping[str, str]) -> str:
    """What to have more of, at each number of seeds."""
    kinds = {kind: [n for n, most in by_seeds.items() if most == kind] for kind in ("seeds", "questions")}
    if not all(kinds.values()):
        return f"More {next(kind for kind, held in kinds.items() if held)} help most."
    return f"More seeds help most up to {kinds['seeds'][-1]}, more questions from {kinds['questions'][0]} on."


def _on_file(there: Figures, trials: int) -> Iterator[str]:
    """What of the trials needs no training any more, if anything."""
    if any(there.values()):
        trained, stored = there["trained"], there["in_store"]
        left = trials - trained - stored
        yield f"{_count(trained, 'trial')} trained in this run, {stored} in the store beside it; {left} to train"


def _placement(placed: Figures) -> Iterator[str]:
    """How trials are shared out and packed, and which engines are up beside one another."""
    for name, each in placed["training"].items():
        room = f"{each['at_once']} at once" if each["at_once"] else "no room for one"
        packed = "trained one after another"
        if each["largest_share"] > 1 and placed["pack"] > 1 and each["gpus_per_trial"] <= 1:
            packed = f"packed up to {min(each['largest_share'], placed['pack'])} wide where measuring says that it pays"
        shared = f"in {_count(each['shares'], 'share')} of {each['largest_share']} at most, {packed}"
        yield f"{name}: {_count(each['trials'], 'trial')}, {_gpus(each['gpus_per_trial'])} each, {room}: {shared}"
    if served := placed["serving"]:
        turns = "; then ".join(" beside ".join(names) for names in served["beside"])
        yield f"asked: {turns}; a replica has {_gpus(served['gpus_per_replica'])}, {served['replicas_at_once']} at once"


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _gpus(gpus: float) -> str:
    return f"{gpus:g} GPU{'s' if gpus > 1 else ''}" if gpus else "a core"


def _need(need: Figures) -> str:
    if need["train_gb"] is None:
        return "unknown; set its parameters (in billions)"
    told = (
        f"{need[f'{act}_gb']:,.0f} GB ({_told(need[f'gpus_to_{act}'])} GPU) to {act}"
        for act in ("train", "serve")
        if need[f"{act}_gb"]
    )
    return ", ".join(told)
