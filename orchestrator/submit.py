"""A study goes to a cluster as a job of Ray's, is followed from here, and is found again.

The job runs `warmth run` on the cluster's head. One job of a study runs at a time: whoever submits it again follows
that one, or, after it has ended, starts the next, which goes on with what is left.
"""

import contextlib
import re
import shlex
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import submit_door, submit_pack
from .config import Study
from .errors import WarmthError
from .head import HOME, Head
from .keys import digest
from .submit_door import Door, Lost

if TYPE_CHECKING:
    from ray.job_submission import JobSubmissionClient

Say = Callable[[str], None]


@dataclass(frozen=True)
class Submitted:
    """A job: its id on the cluster, what has become of it in Ray's words, and where the run lies there."""

    id: str
    status: str
    run: str
    why: str = ""

    @property
    def ended(self) -> bool:
        return self.status in ("SUCCEEDED", "FAILED", "STOPPED")


def submit(
    study: Study, head: Head | None, address: str | None, along: Iterable[Path], detach: bool, say: Say
) -> Submitted:
    """Send a study to a cluster, unless it runs there already, and follow it to its end if not `detach`.

    Either a `head` or the job server's `address`. Raises WarmthError where the cluster, its token or its Ray is not as
    it has to be, and where the study runs there with other settings.
    """
    with _door(head, address) as door, tempfile.TemporaryDirectory() as folder:
        whole = submit_pack.pack(study, along, Path(folder))
        client = submit_door.client(door.address)
        job = _running(client, study)
        if job:
            _check_same(job, whole, study)
            say(f"{job.submission_id} runs already")
        name = job.submission_id if job else _send(client, study, Path(folder), whole)
        found = _look(client, name)
        if not job:
            say(f"{name} is submitted; its run is {found.run} there")
        return found if detach else _follow(door, client, name, say)


def stop(study: Study, head: Head | None, address: str | None) -> list[str]:
    """End a study's job, if one runs; gives the names of those that were ended. What is finished is kept."""
    with _door(head, address) as door:
        client = submit_door.client(door.address)
        return [
            job.submission_id for job in _jobs(client, study) if not _ended(job) and client.stop_job(job.submission_id)
        ]


@contextlib.contextmanager
def _door(head: Head | None, address: str | None) -> Iterator[Door]:
    """The way to a cluster, which has to be open at first."""
    if (head is None) == (address is None):
        raise WarmthError("either the cluster's file (--cluster) or its job server's address (--address) is needed")
    try:
        with Door(head, address) as door:
            yield door
    except Lost as error:
        raise WarmthError(
            f"{error}; is the cluster up? Nothing is lost that had begun there: the same command finds it again"
        ) from error


def place(study: Study) -> str:
    """The folder of runs on the head: the study's own, in `~/warmth` if it is relative."""
    runs = Path(study.resources.runs)
    return str(runs) if runs.is_absolute() else f"~/{HOME}/{runs}"


def _stem(study: Study) -> str:
    """What the names of a study's jobs begin with: one for each run's folder."""
    return f"warmth-{study.name}-{digest(place(study), length=6)}"


def _jobs(client: "JobSubmissionClient", study: Study) -> list[Any]:
    """A study's jobs on a cluster, in order."""
    named = re.compile(re.escape(_stem(study)) + r"-(\d+)")
    jobs = [job for job in client.list_jobs() if named.fullmatch(job.submission_id or "")]
    return sorted(jobs, key=lambda job: int(job.submission_id.rpartition("-")[2]))


def _running(client: "JobSubmissionClient", study: Study) -> Any | None:
    return next((job for job in _jobs(client, study) if not _ended(job)), None)


def _ended(job: Any) -> bool:
    return bool(job.status.is_terminal())


def _check_same(job: Any, whole: str, study: Study) -> None:
    if (job.metadata or {}).get("study") != whole:
        raise WarmthError(
            f"{job.submission_id} runs on the cluster with other settings of {study.name}; wait until it is done, or "
            "end it with `warmth submit ... --stop`, and submit again: what is finished is kept"
        )


def _send(client: "JobSubmissionClient", study: Study, folder: Path, whole: str) -> str:
    """Start a study's next job, whose name nobody else can have at the same time; gives its name."""
    last = _jobs(client, study)[-1:]
    number = 1 + sum(int(job.submission_id.rpartition("-")[2]) for job in last)
    name, runs = f"{_stem(study)}-{number}", place(study)
    said = (
        f'resources.runs="$HOME"/{shlex.quote(runs[2:])}'
        if runs.startswith("~/")
        else f"resources.runs={shlex.quote(runs)}"
    )
    try:
        client.submit_job(
            entrypoint=f"python -m orchestrator run {submit_pack.STUDY} {said}",
            submission_id=name,
            runtime_env={"working_dir": str(folder)},
            metadata={"study": whole, "run": f"{runs}/{study.name}"},
        )
    except RuntimeError as error:
        if "already exists" not in str(error):
            raise WarmthError(f"{study.name}: the cluster does not take the job: {error}") from error
    return name


def _look(client: "JobSubmissionClient", name: str) -> Submitted:
    job = client.get_job_info(name)
    why = (job.message or "").splitlines()[0] if job.message else ""
    return Submitted(name, job.status.value, (job.metadata or {}).get("run", ""), why)


def _follow(door: Door, client: "JobSubmissionClient", name: str, say: Say) -> Submitted:
    """Say what a job says until it ends, however often the way there is lost."""
    shown, away = 0, 0
    while True:
        try:
            door.open()
            found = _look(client, name)
            log = client.get_job_logs(name)
        except RuntimeError as error:
            raise WarmthError(
                f"{name}: the cluster knows nothing of it any more ({error}); if its head was started anew, submit "
                "again: what was finished is kept"
            ) from error
        except Lost as error:
            if not away:
                say(f"The connection is lost ({error}). The job goes on; trying again, Ctrl-C leaves it alone.")
            away += 1
            time.sleep(min(30, away))
            continue
        if away:
            say("The connection is there again.")
        away, shown = 0, _show(log, shown, found.ended, say)
        if found.ended:
            return found
        time.sleep(min(15, 1 + len(log) / 1e5))  # the whole log comes each time


def _show(log: str, shown: int, all_of_it: bool, say: Say) -> int:
    """Say the whole lines of a log that were not said yet; gives how much of it has been said now."""
    until = len(log) if all_of_it else log.rfind("\n") + 1
    lines: Sequence[str] = log[shown:until].splitlines()
    for line in lines:
        say(line)
    return max(shown, until)
