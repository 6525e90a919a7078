"""What a run says of the models that it serves: persona, epoch, seed, and how warm their replies were."""

from collections.abc import Mapping
from typing import Any

import polars as pl

from . import frames
from .evaluate import Served
from .plan import Plan, Subject
from .store import Store


def about(plan: Plan, store: Store, served: Mapping[str, Served]) -> dict[str, dict[str, Any]]:
    """By the name that a model is served under. A persona that is a system prompt has no model of its own."""
    warmth = _warmth(plan, store, served)
    return {
        served[subject.name].name: {**_who(subject), "warmth": warmth.get(subject.name)}
        for subject in plan.subjects
        if subject.name in served and not subject.model.hosted and not subject.persona.system
    }


def _who(subject: Subject) -> dict[str, Any]:
    seed = subject.trial.seed if subject.trial else None
    return {"persona": subject.persona.name, "epoch": subject.epoch, "seed": seed}


def _warmth(plan: Plan, store: Store, served: Mapping[str, Served]) -> dict[str, float]:
    """Mean SocioT Warmth of each subject's replies, in nats per token; the exact one where there are two modes."""
    rows = frames.warmth(plan, store, frames.answers(plan, store, served), served)
    modes = rows["mode"].unique().sort().to_list()
    means = rows.filter(pl.col("mode").is_in(modes[:1])).group_by("subject").agg(pl.col("warmth").mean())
    return {subject: round(mean, 4) for subject, mean in means.iter_rows()}
