"""What a study will come to before anything is spent: replies, tokens, GPU hours, dollars, and what it can find. Pure.

Nothing is loaded for it but what comes with the project: it answers where neither data sets nor models are at hand.
What cannot be known then is NaN here, which every sum carries on, and None in what is handed out; never zero.
"""

import math
from collections.abc import Iterable
from dataclasses import asdict, replace
from functools import cached_property
from typing import Any

import tasks

from . import design, placement, power, sizes
from .config import Study
from .questions import Questions
from .settings import SERVED, Endpoint
from .settings_asking import Judge
from .settings_subjects import Model
from .tokens import ASSUMED, CANARIES, LONGEST, UNKNOWN, Tokens

SEEDS = (1, 3, 5, 10)
"""Numbers of training seeds that a plan says what they would find."""

STAGES = ("rewriting", "training", "asking", "attesting", "judging")
"""What takes GPUs, in the order of a run."""


class Estimate:
    """The figures of one study."""

    def __init__(self, study: Study) -> None:
        self.study = study
        self.trials = design.expected(study)
        self.askings = design.askings(study)
        self.put = {task.name: Questions(task, study.evaluation) for task in study.evaluation.tasks}
        self.tasks = {name: design.size(study, name, questions) for name, questions in self.put.items()}
        self.chats: float = study.data.chats

    @cached_property
    def main(self) -> list[design.Size]:
        """The tasks that are asked in the most conditions: what the study is about."""
        most = max(task.prompts_per_question for task in self.tasks.values())
        return [task for task in self.tasks.values() if task.prompts_per_question == most]

    def asked(self, askings: Iterable[design.Asking]) -> Tokens:
        """The tasks' questions to these subjects, and what they say."""
        return sum((self._calls(task, asking) for asking in askings for task in self.tasks), Tokens())

    def _calls(self, task: str, asking: design.Asking) -> Tokens:
        most = self.tasks[task].max_tokens
        again = _said(self.put[task].answered_again(asking.contexts), most)
        read = replace(again, prompt=2 * again.prompt + again.reply)
        return _said(self.put[task].size(asking.contexts), most) + read

    @property
    def answered_again(self) -> float:
        """The replies that are answers to a user who disagreed with the one before; each is a request more."""
        return sum(self.put[task].answered_again(each.contexts) for each in self.askings for task in self.tasks)

    def warmth_asked(self, askings: Iterable[design.Asking]) -> Tokens:
        """The held-out prompts that the warmth curve is measured on; nothing where it takes the tasks' replies."""
        prompts = design.held_out(self.study)
        curve = [asking for asking in askings if design.on_the_curve(self.study, asking)]
        return _said(prompts * len(curve), self.study.evaluation.max_tokens)

    def attested(self, askings: Iterable[design.Asking]) -> Tokens:
        """What adapters are examined on: by PEFT, and before and after they are asked, alone and beside others.

        All of it once under the adapter and once under its base.
        """
        calls = sum(2 * (1 + 2 * 2) * CANARIES for asking in askings if asking.epoch)
        return Tokens(calls, calls * min(LONGEST, ASSUMED.chat_tokens), 0)

    def judged(self, judge: Judge) -> Tokens:
        """What a judge that is a language model is asked; nothing about what an exact rule reads before."""
        said = self._judged_by(judge, [task for task in self.tasks if not (judge.rules and tasks.load(task).score)])
        rubric, verdict = said.calls * ASSUMED.rubric_tokens, said.calls * ASSUMED.verdict_tokens
        return Tokens(said.calls, said.prompt + said.reply + rubric, verdict)

    def _judged_by(self, judge: Judge, names: Iterable[str]) -> Tokens:
        """What was said to these tasks that a judge has verdicts on: all of it, or the part that is drawn."""
        said = [self._calls(name, asking) for asking in self.askings for name in names]
        how = judge.sample
        return sum((each.times(how.part(each.calls)) if how else each for each in said), Tokens())

    @cached_property
    def rewritten(self) -> Tokens:
        """What the rewriter is asked: every reply, once per rewritten persona; the lab's own rewriter is no model."""
        if not self.study.rewriting:
            return Tokens()
        voices = sum(persona.kind == "rewritten" for persona in self.study.personas)
        calls = round(voices * self.chats * ASSUMED.replies_per_chat)
        told = ASSUMED.persona_tokens + ASSUMED.chat_reply_tokens
        return Tokens(calls, calls * told, calls * ASSUMED.chat_reply_tokens)

    @cached_property
    def checked(self) -> Tokens:
        """What the fact checker is asked: both versions of every rewritten reply."""
        if not (self.study.rewriting and self.study.rewriting.fact_checker):
            return Tokens()
        calls = self.rewritten.calls
        told = ASSUMED.rubric_tokens + 2 * ASSUMED.chat_reply_tokens
        return Tokens(calls, calls * told, calls * ASSUMED.verdict_tokens)

    def _helpers(self) -> list[tuple[str, str, Endpoint | Judge, Tokens]]:
        """Who else is asked: at which stage, under which name, where, and what."""
        rewriting = self.study.rewriting
        found: list[tuple[str, str, Endpoint | Judge, Tokens]] = []
        if rewriting:
            found.append(("rewriting", "rewriter", rewriting.rewriter, self.rewritten))
        if rewriting and rewriting.fact_checker:
            found.append(("rewriting", "fact checker", rewriting.fact_checker, self.checked))
        return [*found, *(("judging", f"judge {judge.name}", judge, self.judged(judge)) for judge in _llm(self.study))]

    # ------------------------------------------------------------- hours, dollars
    def gpu_hours(self) -> dict[str, float]:
        """Hours of one GPU, by stage; what other people's endpoints do costs none of ours."""
        by_model = [self.gpu_hours_of(model) for model in self.study.models]
        return {stage: sum(hours[stage] for hours in by_model) for stage in STAGES}

    def gpu_hours_of(self, model: Model) -> dict[str, float]:
        """Hours of one GPU that a model takes, by stage: its trials, and what it says, as a rewriter and judge too."""
        helping = [
            (stage, asked.gpu_hours(model))
            for stage, _, endpoint, asked in self._helpers()
            if endpoint.url == SERVED and endpoint.model == model.name
        ]
        return {
            "rewriting": sum(hours for stage, hours in helping if stage == "rewriting"),
            "training": sum(self._training_hours(point) for point in self.trials if point.model == model),
            "asking": self._asking_hours(model),
            "attesting": self._attesting_hours(model),
            "judging": sum(hours for stage, hours in helping if stage == "judging"),
        }

    def _training_hours(self, point: design.Point) -> float:
        if point.model.lab or point.model.hosted:
            return 0
        each, more = ASSUMED.seconds_per_chat
        seconds = each + more * (sizes.parameters(point.model) or UNKNOWN)
        return self.chats * point.settings.epochs * seconds / 3600

    def _asking_hours(self, model: Model) -> float:
        own = [asking for asking in self.askings if asking.model == model]
        return 0 if model.hosted else (self.asked(own) + self.warmth_asked(own)).gpu_hours(model)

    def _attesting_hours(self, model: Model) -> float:
        own = [asking for asking in self.askings if asking.model == model]
        return 0 if model.hosted else self.attested(own).gpu_hours(model)

    def usd(self) -> dict[str, float]:
        """Dollars by who is paid: the rewriter, each judge, each hosted model."""
        paid = {name: asked.usd(endpoint) for _, name, endpoint, asked in self._helpers() if endpoint.url != SERVED}
        return paid | {model.name: self._hosted_usd(model) for model in self.study.models if model.hosted}

    def _hosted_usd(self, model: Model) -> float:
        hosted = model.hosted
        assert hosted is not None
        own = [asking for asking in self.askings if asking.model == model]
        trials = sum(point.model == model for point in self.trials)
        epochs = trials * design.job_epochs(self.study, model) if trials else 0
        learnt = epochs * self.chats * ASSUMED.chat_tokens
        trained = learnt * hosted.usd_training / 1e6 if hosted.usd_training or not learnt else UNKNOWN
        return trained + (self.asked(own) + self.warmth_asked(own)).usd(hosted)

    # ---------------------------------------------------------------- what it finds
    def detectable_pp(self, seeds: float | None = None) -> float:
        """The smallest difference in error between two tuned personas of one model that the design finds, in points.

        With an infinity of seeds: between the very adapters that are asked.
        """
        if math.isnan(self._questions):
            return UNKNOWN
        return power.detectable(*self._design, seeds or len(self.study.training.seeds), self._assumed)

    def helps_more(self, seeds: float) -> str | None:
        """What of the two would find smaller differences, more questions or more seeds."""
        return None if math.isnan(self._questions) else power.helps_more(*self._design, seeds, self._assumed)

    @property
    def _questions(self) -> float:
        return sum(task.questions for task in self.main)

    @property
    def _design(self) -> tuple[int, int]:
        return int(self._questions), self.main[0].prompts_per_question

    @property
    def _assumed(self) -> power.Assumed:
        return power.Assumed(adapter_spread_pp=self.study.analysis.seed_spread_pp)

    def figures(self) -> dict[str, Any]:
        """All of it, as `warmth plan --json` prints it."""
        said, hours, usd = self.asked(self.askings), self.gpu_hours(), self.usd()
        judges = self.study.judges
        return known(
            {
                "study": self.study.name,
                "models": [model.name for model in self.study.models],
                "personas": [persona.name for persona in self.study.personas],
                "trials": len(self.trials),
                "subjects": len(self.askings),
                "questions": self._questions,
                "prompts_per_question": self.main[0].prompts_per_question,
                "prompts": sum(task.questions * task.prompts_per_question for task in self.tasks.values()),
                "replies": said.calls,
                "verdicts": sum(self._judged_by(judge, self.tasks).calls for judge in judges),
                "judge_calls": sum(self.judged(judge).calls for judge in _llm(self.study)),
                "answered_again": self.answered_again,
                "rewrites": self.rewritten.calls,
                "warmth_replies": self.warmth_asked(self.askings).calls,
                "gpu_hours": sum(hours.values()),
                "api_cost_usd": sum(usd.values()),
                "detectable_effect_pp": self.detectable_pp(),
                "detectable_effect_pp_of_these_adapters": self.detectable_pp(math.inf),
                "detectable_effect_pp_by_seeds": {str(seeds): self.detectable_pp(seeds) for seeds in SEEDS},
                "more_helps_most_by_seeds": {str(seeds): self.helps_more(seeds) for seeds in SEEDS},
                "tasks": {name: task._asdict() for name, task in self.tasks.items()},
                "questions_left_out": [line for each in self.put.values() for line in each.known_left_out],
                "tokens": self._tokens(),
                "gpu_hours_by_stage": hours,
                "api_cost_usd_by_endpoint": usd,
                "memory": sizes.memory(self.study),
                "does_not_fit": sizes.does_not_fit(self.study),
                "over_budget": self._over_budget(sum(hours.values()), sum(usd.values())),
                "placement": self._placement(),
                "assumed": {**asdict(ASSUMED), **asdict(self._assumed), "power": power.POWER, "alpha": power.ALPHA},
            }
        )

    def _over_budget(self, hours: float, usd: float) -> list[str]:
        """What is estimated above what the budget allows, a line each."""
        budget = self.study.budget
        limits = {"gpu_hours": (hours, budget.gpu_hours), "usd": (usd, budget.usd)} if budget else {}
        return [
            f"budget.{name} is {most:g}, and about {taken:,.1f} are needed: the run will stop there"
            for name, (taken, most) in limits.items()
            if most is not None and taken > most
        ]

    def _placement(self) -> dict[str, Any]:
        trained = placement.training(self.study, self.trials)
        return {
            "pack": self.study.resources.pack,
            "training": {name: each._asdict() for name, each in trained.items()},
            "serving": placement.serving(self.study),
        }

    def _tokens(self) -> dict[str, dict[str, float]]:
        stages = {
            "rewriting": self.rewritten + self.checked,
            "asking": self.asked(self.askings) + self.warmth_asked(self.askings),
            "judging": sum((self.judged(judge) for judge in _llm(self.study)), Tokens()),
        }
        trained = sum(point.settings.epochs for point in self.trials) * self.chats * ASSUMED.chat_tokens
        told = {name: {"prompt": each.prompt, "reply": each.reply} for name, each in stages.items()}
        return {"training": {"prompt": trained, "reply": 0}, **told}


def _said(calls: float, max_tokens: int) -> Tokens:
    return Tokens(calls, calls * ASSUMED.prompt_tokens, calls * min(max_tokens, ASSUMED.reply_tokens))


def _llm(study: Study) -> list[Judge]:
    return [judge for judge in study.judges if judge.kind == "llm"]


def known(value: Any) -> Any:
    """The same with None for what is unknown, and numbers without digits that mean nothing."""
    if isinstance(value, dict):
        return {name: known(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [known(each) for each in value]
    if not isinstance(value, float):
        return value
    if math.isnan(value):
        return None
    return int(value) if value.is_integer() else round(value, 4)
