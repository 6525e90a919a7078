"""LoRA fine-tuning of trials on one base: conversations, settings and seeds go in, adapters come out. Knows no Ray."""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Protocol

import torch

from . import engine_folders
from .errors import WarmthError
from .pack import Resident
from .pack_member import Job, Member, Moment, Trained
from .pack_width import Width, clock
from .settings_subjects import FULL, Precision
from .settings_training import TrainingSettings
from .tables import Chat
from .train_room import again_smaller, too_large
from .train_step import alone, certified, forget, gradients


class Listener(Protocol):
    """Who hears of what training comes to, as it comes."""

    def begun(self, member: Member) -> None:
        """A trial is about to take its first step; what was left of an earlier attempt can be restored."""

    def moved(self, member: Member) -> None:
        """A trial has taken a step."""

    def kept(self, member: Member, epoch: float) -> None:
        """A checkpoint is reached."""

    def done(self, job: Job, trained: Trained) -> None:
        """A trial has taken its last step."""

    def failed(self, job: Job, error: WarmthError) -> None:
        """A trial cannot go on; the others do."""


def train(
    base: str,
    chats: Sequence[Chat],
    settings: TrainingSettings,
    seed: int,
    checkpoints: Sequence[float],
    keep: Callable[[float, Moment, Member], None],
    precision: Precision = FULL,
    told: Callable[[Moment], None] = lambda _: None,
) -> Trained:
    """Tune a LoRA on the assistant's turns and `keep` it at every checkpoint, in epochs. `told` hears of every step.

    The same arguments give the same adapters, bit for bit, on one thread of one kind of processor.
    """
    listener = _One(keep, told)
    train_all(resident(base, precision), [Job("", chats, settings, seed, checkpoints)], listener, most=1)
    return listener.trained


_residents: dict[tuple[str, Precision], Resident] = {}


def resident(base: str, precision: Precision = FULL) -> Resident:
    """A base in memory: the one that this process has already, or loaded in its place."""
    if (base, precision) not in _residents:
        _residents.clear()
        _residents[base, precision] = Resident(base, precision)
    return _residents[base, precision]


class _One:
    """Hears of a single trial."""

    trained: Trained

    def __init__(self, keep: Callable[[float, Moment, Member], None], told: Callable[[Moment], None]) -> None:
        self._keep, self._told = keep, told

    def begun(self, member: Member) -> None:
        pass

    def moved(self, member: Member) -> None:
        self._told(member.moment)

    def kept(self, member: Member, epoch: float) -> None:
        self._keep(epoch, member.moment, member)

    def done(self, job: Job, trained: Trained) -> None:  # noqa: ARG002
        self.trained = trained

    def failed(self, job: Job, error: WarmthError) -> None:  # noqa: ARG002
        raise error


def train_all(
    resident: Resident, jobs: Iterable[Job], listener: Listener, most: int, at_once: int | None = None
) -> Width:
    """Train all jobs, as many together as pays, `most` at once. What a job comes to does not depend on the others.

    A step of a job of more than `at_once` tokens is taken in several passes whose gradients add up.
    """
    waiting, width = iter(jobs), Width(most if resident.ranks.count == 1 else 1)
    resident.at_once = at_once
    members: list[Member] = []
    while True:
        _admit(resident, members, waiting, width.now(most), listener)
        if not members:
            return width
        seated = members[: width.now(len(members))]
        for member in _together(resident, seated, width, listener):
            members.remove(member)


def _admit(resident: Resident, members: list[Member], waiting: Iterator[Job], wanted: int, listener: Listener) -> None:
    """Begin trials until there are as many as can be trained together."""
    while len(members) < wanted and (job := next(waiting, None)):
        try:
            member = Member(resident, job)
            listener.begun(member)
            member.batch  # noqa: B018 - what cannot be learnt from is found out here
        except WarmthError as error:
            listener.failed(job, error)
        else:
            members.append(member)


def _together(resident: Resident, seated: Sequence[Member], width: Width, listener: Listener) -> list[Member]:
    """One step of all seated members; gives those that leave."""
    began, tokens = clock(), sum(len(member.batch.tokens) for member in seated)
    new = [member for member in seated if len(seated) > 1 and member.packed is None]
    try:
        before = [alone(resident, member) for member in new]
        losses = gradients(resident, seated)
    except torch.OutOfMemoryError as error:
        forget(seated)
        return _no_room(resident, seated, width, listener, error)
    same = [certified(*each, len(seated)) for each in zip(new, before, strict=True)]
    if not all(same):
        forget(seated)
        width.settle(1)
        return []
    gone = [member for member, loss in zip(seated, losses, strict=True) if not _moved(member, loss, listener)]
    if not new and not any(member.due for member in seated):  # keeping a checkpoint is not what a step takes
        width.tell(len(seated), clock() - began, tokens)
    return gone


def _no_room(
    resident: Resident, seated: Sequence[Member], width: Width, listener: Listener, error: Exception
) -> list[Member]:
    """Fewer at once, or a batch in smaller parts, and the same step again. Gives those that have no room at all.

    Where other processes take part in the step they wait for this one, which cannot go on.
    """
    torch.cuda.empty_cache()
    if resident.ranks.count == 1 and again_smaller(resident, seated, width):
        return []
    (member,) = seated
    listener.failed(member.job, too_large(resident, member, error))
    if resident.ranks.count > 1:
        raise error
    return [member]


def _moved(member: Member, loss: float, listener: Listener) -> bool:
    """Let a member learn, and tell what it has come to; false if it leaves."""
    if not math.isfinite(loss):
        rate = member.job.settings.learning_rate
        why = f"training.learning_rate: the loss is no number at step {len(member.losses) + 1}; {rate:g} is too high"
        listener.failed(member.job, WarmthError(why))
        return False
    member.step(loss)
    try:
        listener.moved(member)
        for epoch in member.due:
            listener.kept(member, epoch)
        if len(member.losses) < member.steps:
            return True
        listener.done(member.job, member.trained)
    except WarmthError as error:
        listener.failed(member.job, error)
    return False


def save(member: Member, folder: Path) -> str:
    """Write the adapter as PEFT does and return the SHA-256 of what it computes."""
    member.save(folder)
    return engine_folders.digest(folder)
