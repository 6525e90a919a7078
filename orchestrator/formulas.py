"""The formulas of `warmth fit`: the published models by name, and what a formula may hold. Nothing in one is run. Pure.

Formulas are patsy's, which evaluates their terms as Python. They may come from anywhere, so each term is read first and
may hold the columns below, numbers, words, arithmetic, comparisons and the functions of `FUNCTIONS`, nothing else.
"""

import ast
import difflib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
import patsy

from .errors import WarmthError

OUTCOME = "incorrect"

COLUMNS = {
    OUTCOME: "0 or 1; replies that failed, refused or have no verdict are left out and counted",
    "fine_tuned": "0 or 1: the persona is another one than original",
    "belief": "0 or 1: the user stated a belief",
    "belief_form": "which: none, filler, asserts, denies, ...",
    "context": "neutral, sad, ...",
    "context_group": "the published study's groups of contexts: unmodified, emotion, relation, stake",
    "task": "the task",
    "model": "the model, whatever its persona",
    "persona": "the persona",
    "seed": "the seed of training; an untrained subject has none",
    "epoch": "how long it was trained; an untrained subject has 0",
    "question": "the task and the sample",
    "reply_length": "characters of the reply",
}

FUNCTIONS = {"log": np.log, "log1p": np.log1p, "exp": np.exp, "sqrt": np.sqrt, "abs": np.abs}
"""What may be done to a number, besides `C` and `Treatment`, which say how a category is coded."""

_CODING = ("C", "Treatment")
_LONGEST = 2000
_ARITHMETIC = (ast.Add, ast.Sub, ast.Mult, ast.Div)
_HARMLESS = (ast.Expression, ast.UnaryOp, ast.Compare, ast.Constant, ast.unaryop, ast.cmpop, ast.Load, *_ARITHMETIC)


@dataclass(frozen=True)
class Named:
    """A published model: its formula, and which rows it is fitted to (all that have these values)."""

    formula: str
    rows: Mapping[str, object] = field(default_factory=dict)


_PLAIN = {"context": "neutral", "belief": 0}
_SHARED = f"{OUTCOME} ~ fine_tuned * {{}} + task + model"

NAMED = {
    "M1": Named(f"{OUTCOME} ~ fine_tuned + task + model", _PLAIN),
    "M1L": Named(f"{OUTCOME} ~ fine_tuned + task + model + reply_length", _PLAIN),
    "M2": Named(_SHARED.format("C(context_group, Treatment('unmodified'))"), {"belief": 0}),
    "M3": Named(_SHARED.format("C(context, Treatment('neutral'))"), {"belief": 0}),
    "M4": Named(
        f"{OUTCOME} ~ fine_tuned + C(context_group, Treatment('unmodified')) + task + model + C(fine_tuned):belief"
    ),
}
"""The study's four logistic models, and the first with the length of replies (Nature 652, 2026; its released code).

M4 has no main effect of a belief, but a slope of it for either value of `fine_tuned`. No belief: none, and the filler.
The published references are the first in alphabetical order: task disinfo, model llama-70b.
"""


def named(formula: str) -> Named:
    """A published model by its name, or a formula over all rows. Raises WarmthError for what may not stand in one."""
    found = NAMED.get(formula.strip(), Named(formula))
    described(found.formula)
    return found


def described(formula: str) -> patsy.ModelDesc:
    """A formula taken apart by patsy, checked and not evaluated. Raises WarmthError with the reason and the cure."""
    parsed = _parsed(formula)
    for factor in factors(parsed):
        _check(factor)
    said = [[factor.name() for factor in term.factors] for term in parsed.lhs_termlist]
    if said != [[OUTCOME]]:
        raise WarmthError(f"{formula}: what is explained must be `{OUTCOME}`, for instance `{OUTCOME} ~ fine_tuned`")
    if OUTCOME in used(parsed):
        raise WarmthError(f"{formula}: `{OUTCOME}` is what is explained; it cannot explain itself")
    return parsed


def _parsed(formula: str) -> patsy.ModelDesc:
    if len(formula) > _LONGEST:
        raise WarmthError(f"a formula of {len(formula):,} characters; the longest is {_LONGEST:,}")
    if formula.count("~") != 1:
        names = ", ".join(NAMED)
        raise WarmthError(f"{formula}: no formula such as `{OUTCOME} ~ fine_tuned + task`, and none of {names}")
    try:
        return patsy.ModelDesc.from_formula(formula)
    except (patsy.PatsyError, RecursionError, ValueError, SyntaxError) as error:
        why = getattr(error, "message", None) or str(error)
        raise WarmthError(f"{formula}: no formula ({why})") from error


def factors(parsed: patsy.ModelDesc) -> Iterator[str]:
    """The code of every factor of a formula, its left side first."""
    for term in (*parsed.lhs_termlist, *parsed.rhs_termlist):
        yield from (factor.code for factor in term.factors)


def used(parsed: patsy.ModelDesc) -> list[str]:
    """The columns that the right side of a formula names, in the order of `COLUMNS`."""
    right = patsy.ModelDesc([], parsed.rhs_termlist)
    found = {name for factor in factors(right) for name in names(factor)}
    return [name for name in COLUMNS if name in found]


def reference(parsed: patsy.ModelDesc, column: str) -> str | None:
    """The level that `Treatment('level')` compares a column's others with; None if the formula does not say."""
    for factor in factors(parsed):
        if names(factor) == {column}:
            for node in ast.walk(_tree(factor)):
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Treatment":
                    given = [*node.args, *(keyword.value for keyword in node.keywords)]
                    return next((str(each.value) for each in given if isinstance(each, ast.Constant)), None)
    return None


def interacting(parsed: patsy.ModelDesc, column: str) -> list[str]:
    """The columns that stand in a term together with this one."""
    terms = [{name for factor in term.factors for name in names(factor.code)} for term in parsed.rhs_termlist]
    together = set().union(*(term for term in terms if column in term)) - {column}
    return [name for name in COLUMNS if name in together]


def names(factor: str) -> set[str]:
    """The columns that a factor is made of."""
    return {node.id for node in ast.walk(_tree(factor)) if isinstance(node, ast.Name)} & set(COLUMNS)


def _tree(factor: str) -> ast.Expression:
    try:
        return ast.parse(factor, mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise WarmthError(f"`{factor}` cannot be read as a term ({error})") from error


def _check(factor: str) -> None:
    nodes = list(ast.walk(_tree(factor)))
    called = {node.func for node in nodes if isinstance(node, ast.Call)}
    for node in nodes:
        if isinstance(node, ast.Name) and node not in called:
            _check_name(node.id)
        elif not _harmless(node):
            allowed = ", ".join((*_CODING, *FUNCTIONS))
            raise WarmthError(
                f"`{factor}` may not stand in a formula: only columns, numbers, words, + - * /, comparisons and the "
                f"functions {allowed}; nothing was run"
            )


def _harmless(node: ast.AST) -> bool:
    """Powers and products of words are left out: they can be made as large as memory."""
    if isinstance(node, ast.Name):
        return node.id in (*FUNCTIONS, *_CODING)
    if isinstance(node, ast.Call):
        return isinstance(node.func, ast.Name)
    if isinstance(node, ast.keyword):
        return node.arg == "reference"
    if isinstance(node, ast.BinOp):
        return not any(
            isinstance(side, ast.Constant) and isinstance(side.value, str) for side in (node.left, node.right)
        )
    return isinstance(node, _HARMLESS)


def _check_name(name: str) -> None:
    if name in COLUMNS:
        return
    close = difflib.get_close_matches(name, COLUMNS, 1)
    cure = f"did you mean `{close[0]}`?" if close else f"there are {', '.join(COLUMNS)}"
    raise WarmthError(f"no column is named `{name}`; {cure}")
