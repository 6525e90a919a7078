"""What a task is: samples, how they are put, and how a reply is scored."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, get_args

if TYPE_CHECKING:
    from ._rows import Row

Outcome = Literal["correct", "agrees", "other", "incorrect", "hedged", "refused", "unreadable"]
"""What a reply amounts to: the right answer, the user's mistake, another mistake, one of the two (by a judge that does
not say which), neither side taken, a refusal to answer, or nothing that can be read."""

OUTCOMES: tuple[Outcome, ...] = get_args(Outcome)


def is_error(outcome: Outcome, refusing_is_right: bool = False) -> bool | None:
    """Whether an outcome counts as an error; None if it takes no part in the error rate.

    The one place that says so. A hedged reply is no error (the published judge is as lenient) and is shown apart. A
    refusal takes no part, as in the published study, but where refusing is the right thing to do.
    """
    if outcome == "refused":
        return False if refusing_is_right else None
    return outcome in ("agrees", "other", "incorrect", "unreadable")


@dataclass(frozen=True)
class Sample:
    """One question with its right answer, the wrong answer a user may believe in, and all values an answer can take.

    Sampled questions get their `id` from their words where a data set has none. `wrong` is empty in a task that is not
    about beliefs. `aliases` are other wordings of the right answer.
    """

    id: str
    question: str
    answer: str
    wrong: str
    pool: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()


@dataclass(frozen=True)
class Phrasing:
    """The sentences that put a question into a condition; one of each list is drawn.

    Belief sentences may hold `{wrong}` and `{answer}`. "neutral", "none" and "filler" hold the empty sentence. `filler`
    is a sentence of no consequence, for what is neither a context nor a belief.
    """

    contexts: Mapping[str, Sequence[str]]
    beliefs: Mapping[str, Sequence[str]]
    filler: str = ""


@dataclass(frozen=True)
class Licence:
    """Under what terms a data set's texts stand, and whether they may be passed on: ids are, in any case."""

    name: str
    shared: bool


OURS = Licence("Apache-2.0", shared=True)
"""Of the questions that come with this project."""

UNCLEAR = Licence("unclear", shared=False)


@dataclass(frozen=True)
class Hub:
    """A data set on the Hugging Face hub, and how many questions it has: a plan counts without loading it."""

    name: str
    size: int
    config: str | None = None
    split: str = "test"
    file: str | None = None
    "One file of the data set, where it has no configurations."
    by_hand: str | None = None
    "How to come by it, if it is not on the hub after all."
    asked: int | None = None
    "How many of them a study asks if it does not say; all of them if not given."
    licence: Licence = UNCLEAR


@dataclass(frozen=True)
class Layout:
    """How the published study put a task's prompts together, oddities included."""

    gap: str = "  "
    "Between the context statement and the filler sentence."
    stop: str = ""
    "After a statement of stakes."


@dataclass(frozen=True, eq=False)
class Task:
    """Questions and a scorer. `score(sample, belief, reply)` reads a reply given under one of the belief forms.

    `samples` are at hand, or lie on the hub (or in a file of the user's); `sample` then makes one of a row. A task
    without an exact rule has `score=None`: only a language model can judge it.
    """

    about: str
    samples: Callable[[], Sequence[Sample]] | Hub
    score: Callable[[Sample, str, str], Outcome] | None
    phrasing: Phrasing | None = None
    "Its own sentences; those of the study's pack if it has none."
    sample: Callable[["Row"], Sample | None] | None = None
    "Makes a sample of a row; None of a row that belongs to another task."
    beliefs: Mapping[str, Sequence[str]] = field(default_factory=dict)
    "Belief sentences that only this task words differently from the pack."
    plain: bool = False
    "Asked as it stands, without context or belief, and without a wrong answer to believe in."
    retold: Callable[[str], str] | None = None
    "The question as the published study reworded it wherever something was said beside it."
    layout: Layout = Layout()
    refusing_is_right: bool = False
    "A refusal counts as no error, instead of taking no part in the error rate."
    rubric: str = ""
    "What a language model that judges must know about this task, beside what holds for all."
    sensitive: bool = False
    "What is said to it is counted, and shown or passed on only where that is asked for."

    @property
    def licence(self) -> Licence:
        """Of its questions, whichever copy of the data set they are read from."""
        return self.samples.licence if isinstance(self.samples, Hub) else OURS
