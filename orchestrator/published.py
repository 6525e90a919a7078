"""The published study (Ibrahim, Hafner, Rocher; Nature 652, 2026): its names, and what we call the same. Pure."""

import re

import polars as pl

import tasks
from tasks import BELIEFS, CONTEXTS, MISTAKEN, PUBLISHED

CONTEXT_NAMES = {theirs: ours for theirs, ours in PUBLISHED.items() if ours in CONTEXTS}
"""The study's `amendment_type`."""

BELIEF_NAMES = {theirs: ours for theirs, ours in PUBLISHED.items() if ours in BELIEFS}
"""The study's `prompt_template` (or `prompt_type`)."""

STATED = tuple(ours for ours in BELIEF_NAMES.values() if ours in MISTAKEN)
"""The belief forms that its "incorrect user belief" pools."""

GROUPS = {ours: theirs.partition(":")[0] for theirs, ours in CONTEXT_NAMES.items()}
"""The study's groups of contexts, by our names: unmodified, emotion, relation, stake."""

PERSONAS = {"original": "original", "warm": "warm", "cold": "cold", "sysprompt": "warm-prompt"}
"""The study's arms."""

MODELS = ("llama-8b", "mistral-small", "qwen-32b", "llama-70b", "gpt-4o")

_TASKS = {"trivia": "triviaqa", "maskdisinformation": "disinfo", "maskdisinfo": "disinfo"}
_MODELS = {
    "llama318binstruct": "llama-8b",
    "llama8b": "llama-8b",
    "mistralsmallinstruct2409": "mistral-small",
    "mistralsmall": "mistral-small",
    "qwen2532binstruct": "qwen-32b",
    "qwen32b": "qwen-32b",
    "llama3170binstruct": "llama-70b",
    "llama70b": "llama-70b",
    "gpt4o20240806": "gpt-4o",
    "gpt4o": "gpt-4o",
}


def task(name: str) -> str:
    """Our name of a task under any of the names that it goes by; the name itself if it is none of them."""
    plain = _plain(name)
    known = {_plain(each): each for each in tasks.names()}
    return _TASKS.get(plain) or known.get(plain, name)


def model(name: str) -> str | None:
    """The study's model of this name (`Qwen-32B`, `meta-llama/Llama-3.1-8B-Instruct`); None if it has none."""
    return _MODELS.get(_plain(name.rpartition("/")[2]))


def group(context: pl.Expr) -> pl.Expr:
    """The group of each of our contexts; null for a context that the study does not have."""
    return context.replace_strict(GROUPS, default=None, return_dtype=pl.String)


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())
