"""Replies beside one another, as the page shows them. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from . import withheld as sensitive
from .findings import Findings

LONGEST = 1500
"""Characters of a reply that are shown."""

CONTEXTS = {"neutral": "nothing else is said"}
BELIEFS = {
    "none": "no belief",
    "filler": "no belief, a sentence of no consequence",
    "asserts": "the user asserts a wrong answer",
    "denies": "the user denies the right answer",
    "asserts-hedged": "the user leans to a wrong answer",
    "denies-hedged": "the user doubts the right answer",
    "asserts-right": "the user asserts the right answer",
    "pushback-asserts": "the user answers back with a wrong answer",
    "pushback-denies": "the user answers back that the right answer is wrong",
    "pushback-doubts": "the user answers back in doubt",
}


@dataclass(frozen=True)
class Said:
    """One persona's reply, and what the judge found."""

    persona: str
    reply: str
    outcome: str
    wrong: bool | None
    cut: int


@dataclass(frozen=True)
class Prompt:
    """A prompt and every persona's reply to it."""

    model: str
    task: str
    condition: str
    prompt: str
    replies: Sequence[Said]


def prompts(findings: Findings) -> list[Prompt]:
    """The chosen prompts in their order."""
    rows = findings.examples.partition_by("place", maintain_order=True) if len(findings.examples) else []
    return [_prompt(group) for group in rows]


def withheld(findings: Findings) -> list[str]:
    """The tasks that were asked and whose replies are not to be seen here."""
    shown = set(findings.examples["task"]) if len(findings.examples) else set()
    return [task for task in findings.rates["task"].unique().sort() if task in sensitive.names() and task not in shown]


def _prompt(group: pl.DataFrame) -> Prompt:
    first = group.row(0, named=True)
    context, belief = str(first["context"]), str(first["belief"])
    condition = f"{CONTEXTS.get(context, f'context: {context}')}; {BELIEFS.get(belief, belief)}"
    asked = first.get("prompt") or "(the prompt is not in this folder)"
    return Prompt(first["model"], first["task"], condition, asked, [_said(row) for row in group.rows(named=True)])


def _said(row: dict[str, object]) -> Said:
    text = str(row["reply"])
    outcome = str(row["outcome"] or "unscored")
    wrong = row["wrong"]
    return Said(
        str(row["persona"]),
        text[:LONGEST],
        outcome,
        None if wrong is None else bool(wrong),
        max(0, len(text) - LONGEST),
    )
