"""One task as a study asks it: its questions, its conditions, its prompts. The same for every subject. Pure."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import tasks

from . import pushback
from .errors import WarmthError
from .settings_asking import Asked, Evaluation
from .tables import digest


@dataclass(frozen=True, slots=True)
class Prompt:
    """A sample in a condition, as it is asked, and the seed its reply is drawn with."""

    sample: str
    context: str
    belief: str
    draw: int
    row_seed: int
    prompt: str
    pushback: str | None = None
    "What the user says after the first answer, if that is not the last word."


def row_seed(*identity: object) -> int:
    """The sampler's seed for one row; the same for every subject, so that subjects differ by what they are alone."""
    return int(digest(*identity, length=8), 16) >> 1


class Questions:
    """A task of a study: what is asked of it, and how it is put."""

    def __init__(self, asked: Asked, evaluation: Evaluation) -> None:
        self._asked, self._evaluation = asked, evaluation
        self._task = tasks.load(asked.name)
        self._count = asked.samples or evaluation.samples
        self._prompts: dict[tuple[str, ...], list[Prompt]] = {}

    @cached_property
    def _taken(self) -> tasks.Taken | tasks.Finished:
        """The questions. Raises WarmthError if they cannot be had."""
        asked = self._asked
        try:
            if asked.prompts:
                return tasks.finished(self._task, asked.prompts, self._count, asked.seed)
            return tasks.take(self._task, asked.path, self._count, asked.seed)
        except tasks.Unusable as error:
            raise WarmthError(f"evaluation.tasks: {asked.name}: {error}") from error

    @property
    def samples(self) -> tuple[tasks.Sample, ...]:
        """The questions that are asked, in an order that does not change."""
        return self._taken.samples

    @property
    def left_out(self) -> list[str]:
        """What of the task's data is not asked, and why; one line each."""
        lines = [f"{self._asked.name}: {line}" for line in self._taken.left_out]
        few = len(self.samples)
        if self._asked.samples and 0 < few < self._asked.samples:
            lines.append(f"{self._asked.name}: {self._asked.samples} questions are wanted, there are {few}")
        return lines

    @property
    def known_left_out(self) -> list[str]:
        """The same as far as it can be said without fetching anything."""
        return [] if self.on_the_hub or not self.count else self.left_out

    @property
    def count(self) -> int:
        """How many questions are asked: counted, or as the task declares where its data lies on the hub.

        None of an optional task whose questions cannot be had.
        """
        if self.on_the_hub:
            return tasks.size(self._task, None, self._count)
        try:
            return len(self.samples)
        except WarmthError:
            if self._asked.optional:
                return 0
            raise

    @property
    def on_the_hub(self) -> bool:
        """Whether the questions have to be fetched."""
        return not (self._asked.path or self._asked.prompts or callable(self._task.samples))

    def conditions(self, contexts: Sequence[str]) -> list[tuple[str, str]]:
        """The conditions that a subject is asked in: those of finished prompts, or the grid's, in its contexts."""
        asked = self._evaluation
        if not self._asked.prompts:
            return [*tasks.conditions(self._task, asked.grid, contexts, asked.beliefs), *self._disagreeing(contexts)]
        every = tuple(contexts) == asked.contexts
        there = [each for each in self._finished.conditions if every or each[0] in contexts] if self.count else []
        return [*there, *self._disagreeing([context for context, belief in there if belief == "none"])]

    def _disagreeing(self, contexts: Sequence[str]) -> list[tuple[str, str]]:
        """The conditions in which the user disagrees with the first answer; none of a task without a wrong answer."""
        forms = () if self._task.plain else self._evaluation.pushback
        return [(context, belief) for context in contexts for belief in pushback.beliefs(forms)]

    @property
    def _finished(self) -> tasks.Finished:
        return self._taken if isinstance(self._taken, tasks.Finished) else tasks.Finished((), {}, (), "")

    def size(self, contexts: Sequence[str]) -> int:
        """How many prompts a subject with these contexts is put, every draw counted."""
        if self._asked.prompts:
            return len(self.prompts(contexts)) if self.count else 0
        return self.count * len(self.conditions(contexts)) * self._evaluation.draws

    def answered_again(self, contexts: Sequence[str]) -> int:
        """After how many of these prompts the user disagrees, and is answered a second time."""
        if self._asked.prompts:
            return sum(each.pushback is not None for each in self.prompts(contexts)) if self.count else 0
        return self.count * len(self._disagreeing(contexts)) * self._evaluation.draws

    def prompts(self, contexts: Sequence[str]) -> list[Prompt]:
        """Everything that a subject with these contexts is asked."""
        key = tuple(contexts)
        if key not in self._prompts:
            self._prompts[key] = list(self._put(key))
        return self._prompts[key]

    def _put(self, contexts: tuple[str, ...]) -> Iterator[Prompt]:
        name, seed, conditions = self._asked.name, self._evaluation.seed, self.conditions(contexts)
        for sample in self.samples:
            for context, belief in conditions:
                for draw in range(self._evaluation.draws):
                    again = pushback.sentence(belief, sample, draw)
                    said = self._said(sample, context, "none" if again else belief, draw)
                    if said is not None:
                        drawn_with = row_seed(seed, name, sample.id, context, belief, draw)
                        yield Prompt(sample.id, context, belief, draw, drawn_with, said, again)

    def _said(self, sample: tasks.Sample, context: str, belief: str, draw: int) -> str | None:
        if self._asked.prompts:
            return self._finished.prompts.get((sample.id, (context, belief)))
        return tasks.prompt(self._task, sample, context, belief, draw, self._pack, self._evaluation.grid)

    @cached_property
    def prompt_set(self) -> str:
        """Identifies the sentences and the layout that the prompts are made of, or the file they come from."""
        return self._finished.digest or tasks.prompt_set(self._task, self._pack, self._evaluation.grid)

    @cached_property
    def _pack(self) -> tasks.Phrasing:
        try:
            return tasks.read_pack(self._evaluation.pack)
        except tasks.Unusable as error:
            raise WarmthError(f"evaluation.pack: {error}") from error
