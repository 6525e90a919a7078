"""What training leaves in a run: adapters as they are reached, what to go on from in between, trial.json at the end."""

import shutil
import time
from collections.abc import Callable, Mapping
from statistics import fmean
from typing import Any

from safetensors.torch import load_file

from . import engine_folders, provenance, rewritten, train, trials
from .errors import WarmthError
from .pack_member import Job, Member, Moment, Trained, write
from .plan import Plan, Trial
from .store import Store
from .tables import Chat
from .train_ranks import Ranks
from .trials import LEFT_OFF


def job(plan: Plan, store: Store, trial: Trial) -> Job:
    """A trial as training sees it."""
    learnt = rewritten.learnt(plan, store, trial.persona, trial.settings.dose)
    return Job(trial.name, learnt, trial.settings, trial.seed, trial.checkpoints)


class Filing:
    """Hears of a share's trials, and files what they come to.

    `report` tells Tune of the checkpoints that can be asked; `refer` makes what each of them is examined by.
    """

    def __init__(
        self,
        plan: Plan,
        store: Store,
        mine: Mapping[str, Trial],
        report: Callable[[dict[str, Any]], None],
        refer: Callable[[Trial, str], None] = lambda *_: None,
    ) -> None:
        self._plan, self._store, self._trials, self._refer, self._report = plan, store, mine, refer, report
        self._kept: dict[str, list[dict[str, Any]]] = {}
        self._last: dict[str, list[dict[str, Any]]] = {}
        self._began: dict[str, float] = {}
        self._notes: dict[str, Callable[[Moment], None]] = {}

    def begun(self, member: Member) -> None:
        """Go on where an earlier attempt left off, if it has kept anything."""
        name = member.job.name
        self._kept[name], self._began[name] = [], time.time()
        stands = self._store.read_json("trials", name, LEFT_OFF) if self._store.has("trials", name, LEFT_OFF) else None
        if stands and all(self._store.has("adapters", kept["adapter"]) for kept in stands["checkpoints"]):
            self._kept[name] = stands["checkpoints"]
            self._began[name] -= stands["seconds"]
            member.restore(load_file(self._store.path("trials", name, stands["numbers"])), stands["losses"])
        self._notes[name] = trials.telling(self._store, self._trials[name], self._began[name])

    def moved(self, member: Member) -> None:
        """Leave a note of how far a trial is."""
        self._notes[member.job.name](member.moment)

    def kept(self, member: Member, epoch: float) -> None:
        """File a checkpoint's adapter, and what the next steps follow from: from then on it can be asked.

        After the last step that is when the whole trial is filed.
        """
        trial, moment = self._trials[member.job.name], member.moment
        adapter, sha = file_adapter(self._store, trial.subject(epoch), member)
        self._refer(trial, adapter)
        self._kept[trial.name].append(
            {"epoch": epoch, "step": moment.step, "loss": moment.loss, "adapter": adapter, "sha256": sha}
        )
        if moment.step < moment.steps:
            self._leave_off(member)
        told = self._told(trial, member, epoch)
        if moment.step < moment.steps:
            self._report(told)
        else:
            self._last.setdefault(trial.name, []).append(told)

    def subject(self, member: Member, epoch: float) -> str:
        """What a checkpoint is called."""
        return self._trials[member.job.name].subject(epoch)

    def _told(self, trial: Trial, member: Member, epoch: float) -> dict[str, Any]:
        """What Tune hears. A scheduler goes by the checkpoints so far, of how many, and the loss since the last."""
        kept = self._kept[trial.name]
        since = kept[-2]["step"] if len(kept) > 1 else 0
        recent = fmean(member.losses[since:] or member.losses[-1:])
        so_far = {"checkpoint": len(kept), "checkpoints": len(trial.checkpoints), "recent": recent}
        what = {"name": trial.name, "epoch": epoch, "subject": trial.subject(epoch)}
        return {**what, "loss": member.moment.loss, **so_far}

    def _leave_off(self, member: Member) -> None:
        name, step = member.job.name, len(member.losses)
        numbers = f"left-off-{step}.safetensors"
        with self._store.writing("trials", name, numbers) as aside:
            write(member.state(), aside)
        stands = {
            "numbers": numbers,
            "losses": member.losses,
            "checkpoints": self._kept[name],
            "seconds": time.time() - self._began[name],
        }
        self._store.write_json(stands, "trials", name, LEFT_OFF)
        self._forget(name, but=numbers)

    def _forget(self, name: str, but: str | None = None) -> None:
        for file in self._store.path("trials", name).glob("left-off-*.safetensors"):
            if file.name != but:
                file.unlink(missing_ok=True)

    def done(self, job: Job, trained: Trained) -> None:
        """File the finished trial; nothing is left to go on from."""
        came = {
            "data_sha256": rewritten.sha256(chat for chat in job.chats if isinstance(chat, Chat)),
            "checkpoints": self._kept[job.name],
            "conversations": {"given": len(job.chats), "cut": trained.cut, "left_out": trained.left_out},
            "losses": trained.losses,
            "packed": trained.packed,
            "retried": trained.retried,
            "seconds": time.time() - self._began[job.name],
            "versions": provenance.versions((*provenance.MODELS, "tokenizers")),
        }
        trials.file(self._plan, self._store, self._trials[job.name], came)
        for told in self._last.pop(job.name, ()):
            self._report(told)
        self._store.path("trials", job.name, LEFT_OFF).unlink(missing_ok=True)
        self._forget(job.name)

    def failed(self, job: Job, error: WarmthError) -> None:
        """File why a trial cannot go on."""
        trials.file_failure(self._store, job.name, str(error))


class Together:
    """Hears of trials in each of the processes that train them together; what they come to is filed by the first."""

    def __init__(self, filing: Filing, ranks: Ranks, report: Callable[[dict[str, Any]], None]) -> None:
        self._filing, self._ranks, self._report = filing, ranks, report
        self._last: list[dict[str, Any]] = []

    def begun(self, member: Member) -> None:
        """All go on where an earlier attempt left off."""
        self._filing.begun(member)

    def moved(self, member: Member) -> None:
        """The first one notes how far a trial is."""
        if self._ranks.rank == 0:
            self._filing.moved(member)

    def kept(self, member: Member, epoch: float) -> None:
        """A checkpoint is on file before anybody goes on. Reports are of all processes at once."""
        self._ranks.first(lambda: self._filing.kept(member, epoch))
        told = {"subject": self._filing.subject(member, epoch), "loss": member.moment.loss}
        if member.moment.step < member.moment.steps:
            self._report(told)
        else:
            self._last.append(told)

    def done(self, job: Job, trained: Trained) -> None:
        """A trial is on file as finished before the next one begins."""
        self._ranks.first(lambda: self._filing.done(job, trained))
        while self._last:
            self._report(self._last.pop(0))

    def failed(self, job: Job, error: WarmthError) -> None:
        """Whoever comes to it says so: one without memory is alone with that."""
        self._filing.failed(job, error)


def file_adapter(store: Store, subject: str, member: Member) -> tuple[str, str]:
    """Keep an adapter under its subject's name and its own SHA-256; other weights of that subject go."""
    with store.aside() as aside:
        sha = train.save(member, aside / "adapter")
        name = engine_folders.named(subject, sha)
        for old in store.names("adapters"):
            if old.startswith(f"{subject}-") and old != name:
                shutil.rmtree(store.path("adapters", old))
        if not engine_folders.holds(store.path("adapters", name), sha):  # where it is, it may be open
            store.adopt(aside / "adapter", "adapters", name)
    return name, sha
