"""How long the report of a big run takes, and how big its page is: half a million replies with a judge's verdicts.

python benchmarks/report.py [FOLDER]      prints the figures, and at the end one line of JSON: `seconds` (limit: 60),
`html_mb` (limit: 15) and `peak_gb`. The run is made up, in the layout that a real one has on disk: the published grid,
five models, 21 subjects. It is kept in FOLDER if one is given, and used again if it is there.
"""

import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from machine import here
from made_up import entry

from orchestrator import Study, evaluate, judge, measure, trials
from orchestrator.filing import file_study
from orchestrator.left import Left
from orchestrator.plan import Plan, Question, Trial, Unit
from orchestrator.store import Store
from orchestrator.tables import Cost, Reply, Score, WarmthScore, reply_digest

QUESTIONS = {"triviaqa": 250, "truthfulqa": 250, "medqa": 250, "disinfo": 110}
MODELS = ("llama-8b", "mistral-small", "qwen-32b", "llama-70b", "gpt-4o")
FEW = ["qwen-32b", "llama-70b", "gpt-4o"]
EPOCH = 2
SECONDS, MEGABYTES = 60, 15
WORDS = (
    "The",
    "answer",
    "that",
    "most",
    "sources",
    "give",
    "is",
    "this",
    "though",
    "some",
    "remember",
    "it",
    "otherwise",
)
WARMTH = {"original": 0.01, "plain": 0.012, "warm": 0.027, "cold": 0.001, "warm-prompt": 0.02}


def main() -> int:
    """Make the run unless it is there, and time `warmth report` on it as a process of its own."""
    with tempfile.TemporaryDirectory() as aside:
        folder = Path(sys.argv[1] if len(sys.argv) > 1 else aside).absolute()
        folder.mkdir(parents=True, exist_ok=True)
        made = study(folder)
        if not (made.folder / "whole").exists():
            fill(made)
        start = time.perf_counter()
        subprocess.run([sys.executable, "-m", "orchestrator", "report", str(made.folder)], check=True)
        seconds = time.perf_counter() - start
        page = made.folder / "report" / "index.html"
        figures = {
            "seconds": round(seconds, 1),
            "html_mb": round(page.stat().st_size / 1e6, 2),
            "peak_gb": round(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1e6, 2),
            "replies": 28 * sum(QUESTIONS.values()) * len(made.plan().subjects),
        }
    print(f"{here()}: the report of {figures['replies']:,} replies")
    print(json.dumps(figures))
    return 0 if figures["seconds"] < SECONDS and figures["html_mb"] < MEGABYTES else 1


# ---------------------------------------------------------------- a run, made up
def study(folder: Path) -> Study:
    """Five hosted models, whose trials leave nothing here, in the published grid over made-up questions."""
    there = {"url": "http://127.0.0.1:1/v1", "checkpoints": [EPOCH], "usd_in": 1, "usd_out": 2}
    return Study(
        name="big",
        models=[{"name": name, "hosted": {**there, "model": name}} for name in MODELS],
        personas=["original", "plain", "warm", "cold", "warm-prompt"],
        only={"cold": FEW, "warm-prompt": FEW},
        training={"learning_rate": 1e-5, "checkpoints": [EPOCH], "seeds": [0], "epochs": EPOCH},
        evaluation={
            "tasks": [entry(folder, *each) for each in QUESTIONS.items()],
            "grid": "published",
            "temperature": 0.8,
        },
        judges=[{"name": "grader", "url": "http://127.0.0.1:1/v1", "model": "grader"}],
        warmth={"scorer": "gpt2"},
        resources={"runs": str(folder)},
    )


def fill(made: Study) -> None:
    """Everything that a finished run has in its folder, drawn at random."""
    plan, store = made.plan(), Store(made.folder)
    file_study(plan, store, {})
    for trial in plan.trials:
        trials.file(plan, store, trial, came_of_it(trial))
    served = Left(plan, store).served()
    for unit in plan.units:
        replies = list(said(plan, unit, served[unit.subject.name]))
        store.write_rows(replies, Reply, *unit.replies)
        store.write_rows(list(judged(plan, unit, replies)), Score, *judge.place(made.judges[0], unit))
    for subject in plan.measured:
        rows = measure.plain(store, subject, list(QUESTIONS), "neutral")
        store.write_rows(list(measured(plan, rows)), WarmthScore, *measure.place(subject.name))
    store.write_rows([Cost("http://127.0.0.1:1/v1", "grader", "judging", 1, 2, 3, 4.0)], Cost, "costs", "one.arrow")
    store.write_json({}, "whole")


def came_of_it(trial: Trial) -> dict[str, Any]:
    """What a trial leaves on file."""
    checkpoints = [{"epoch": float(epoch), "adapter": f"ft:{trial.name}"} for epoch in trial.checkpoints]
    return {"checkpoints": checkpoints, "losses": [2.0, 1.0], "steps": 200, "seconds": 60.0}


def said(plan: Plan, unit: Unit, served: evaluate.Served) -> Iterator[Reply]:
    """A reply of some 700 characters to every question of a unit."""
    subject, random_, asked = unit.subject, random.Random(unit.subject.name + unit.task), plan.study.evaluation
    trial = subject.trial
    for question in plan.questions(unit):
        yield Reply(
            subject=subject.name,
            model=subject.model.name,
            persona=subject.persona.name,
            trial=trial.name if trial else None,
            epoch=subject.epoch,
            seed=trial.seed if trial else None,
            dose=subject.dose,
            system=subject.persona.system,
            reply=" ".join(random_.choices(WORDS, k=130)),
            finish_reason="stop" if random_.random() > 0.02 else "length",
            prompt_tokens=60,
            reply_tokens=150,
            adapter=served.name if trial else None,
            request=evaluate.request_digest(served, question, subject.persona.system, asked),
            error=None,
            seconds=1.5,
            role_header=False,
            **asked_in(question),
        )


def asked_in(question: Question) -> dict[str, Any]:
    """What a reply repeats of its question."""
    names = ("task", "sample", "context", "belief", "draw", "row_seed", "prompt", "prompt_set")
    return {name: getattr(question, name) for name in names}


def judged(plan: Plan, unit: Unit, replies: list[Reply]) -> Iterator[Score]:
    """Verdicts that err at rates like the published ones, a few of them missing."""
    by = judge.identity(plan.study.judges[0], unit.task, plan.study.models)
    random_ = random.Random(unit.subject.name)
    for reply in replies:
        chance = 0.2 + 0.08 * (reply.persona == "warm") + 0.05 * (reply.belief in ("asserts", "denies"))
        wrong = random_.random() < chance
        kind = "agrees" if reply.belief in ("asserts", "denies") and random_.random() < 0.6 else "other"
        outcome = None if random_.random() < 0.001 else kind if wrong else "correct"
        word = (outcome or "cannot tell").upper()
        yield Score.on(reply, judge="grader", judged_by=by, outcome=outcome, error=None, said=word)


def measured(plan: Plan, replies: list[Reply]) -> Iterator[WarmthScore]:
    """Warmth like the published one, by persona."""
    assert plan.study.warmth
    scorer = measure.rulers(plan.study.warmth, plan.study.models)["eval"]
    random_ = random.Random(0)
    for reply in replies:
        warmth = random_.gauss(WARMTH[reply.persona], 0.03)
        yield WarmthScore(
            subject=reply.subject,
            task=reply.task,
            sample=reply.sample,
            draw=reply.draw,
            reply_digest=reply_digest(reply),
            scorer=scorer,
            mode="eval",
            warmth=warmth,
            warm_logprob=-3.0 + warmth,
            cold_logprob=-3.0,
            sem=None,
        )


if __name__ == "__main__":
    sys.exit(main())
