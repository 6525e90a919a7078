"""One trial's fine-tuning jobs: what was asked of the endpoint is on file before it is waited for.

An endpoint may keep the checkpoints of a job's last epochs only (OpenAI's keeps three). What is missing then is trained
by another job that ends there, the longest first; a shorter job's schedule of learning rates is its own.
"""

import asyncio
import itertools
import json
import math
import re
from collections.abc import Iterable
from typing import Any

import aiohttp

from . import costs, rewritten, trials
from .client import Client, RequestFailed
from .paid import OverBudget
from .plan import Plan, Trial
from .settings_hosted import Hosted
from .store import Store
from .tables import Chat, Cost

PATH = "/fine_tuning/jobs"

WAITING = ("validating_files", "queued", "running", "paused")
"""What a job is before it is over; all but `succeeded` is a failure after that."""

POLLS = (1, 2, 5, 10, 20, 30)
"""Seconds between looks at a job; the last from then on."""

BYTES_PER_TOKEN = 3
"""Of conversations, to say beforehand what a job may cost: tokens of text in any language are longer, or as long."""

Job = dict[str, Any]


class Training:
    """One trial at its endpoint, as `trials/<trial>/jobs.json` has it: a list of jobs, in the order they were begun."""

    def __init__(self, plan: Plan, trial: Trial, endpoint: Hosted, store: Store, client: Client) -> None:
        self.trial = trial
        self._plan, self._endpoint, self._store, self._client = plan, endpoint, store, client
        self._place = ("trials", trial.name, "jobs.json")
        self._jobs: list[Job] = store.read_json(*self._place) if store.has(*self._place) else []

    async def begin(self) -> None:
        """See to it that a job is on its way. Raises RequestFailed, or OverBudget."""
        if epochs := self._missing():
            await self._job(epochs)

    async def finish(self) -> None:
        """Wait until all checkpoints are there, and file the trial. Raises RequestFailed, or OverBudget."""
        while epochs := self._missing():
            await self._wait(await self._job(epochs))
        self._file_trial()

    def _kept(self) -> dict[float, dict[str, Any]]:
        found = (kept for job in reversed(self._jobs) for kept in job["checkpoints"])
        return {kept["epoch"]: kept for kept in found}

    def _missing(self) -> int:
        """The last epoch whose checkpoint is not there; 0 if none is missing."""
        kept = self._kept()
        return int(max((epoch for epoch in self.trial.checkpoints if epoch not in kept), default=0))

    def _file(self) -> None:
        self._store.write_json(self._jobs, *self._place)

    # ---------------------------------------------------------------- a job begins
    async def _job(self, epochs: int) -> Job:
        """The job of so many epochs that is not dead: the one on file, or a new one."""
        job = next((job for job in self._jobs if job["epochs"] == epochs and not job["dead"]), None)
        if job is None:
            job = {"epochs": epochs, "file": None, "id": None, "status": None, "dead": False, "checkpoints": []}
            self._jobs.append(job)
        if job["id"] is None:
            await self._start(job)
        return job

    async def _start(self, job: Job) -> None:
        learnt = rewritten.learnt(self._plan, self._store, self.trial.persona, self.trial.settings.dose)
        content = conversations(learnt)
        job |= {"conversations": len(learnt), "data_sha256": rewritten.sha256(learnt)}
        tokens = len(content) * job["epochs"] // BYTES_PER_TOKEN
        if not costs.set_aside(self._store, costs.cap(self._plan.study), self._piece(job), self._usd(tokens)):
            self._jobs.remove(job)
            raise OverBudget("not trained: it may cost more than is left of budget.usd")
        try:
            if job["file"] is None:
                job["file"] = (await self._client.patiently("/files", lambda path: self._upload(path, content)))["id"]
                self._file()
            job["id"] = (await self._client.patiently(PATH, lambda path: self._create(path, job)))["id"]
        except RequestFailed as failure:
            if failure.status:
                self._bury(job, f"refused ({failure.status})", 0)
            raise
        finally:
            self._file()

    async def _upload(self, path: str, content: bytes) -> Any:
        form = aiohttp.FormData({"purpose": "fine-tune"})
        form.add_field("file", content, filename=f"{self.trial.name}.jsonl", content_type="application/jsonl")
        return await self._client.attempt("POST", path, data=form)

    async def _create(self, path: str, job: Job) -> Any:
        """Start a job, unless there is one: a request whose answer was lost, now or in a run before, had its effect."""
        return await self._begun(path, job) or await self._client.attempt("POST", path, json=self._body(job))

    async def _begun(self, path: str, job: Job) -> Any:
        """The job that the endpoint has for this; None if it has none, or cannot be asked for jobs."""
        mine = self._metadata(job)
        query = {"limit": "100", **{f"metadata[{name}]": value for name, value in mine.items()}}
        try:
            found = await self._client.attempt("GET", path, params=query)
        except RequestFailed as failure:
            if failure.status in (400, 404, 405):
                return None
            raise
        alive = (each for each in found.get("data") or () if each["status"] in (*WAITING, "succeeded"))
        return next((each for each in alive if each.get("metadata") == mine), None)

    def _metadata(self, job: Job) -> dict[str, str]:
        """What tells a job from others at the endpoint; a rewriter may say things otherwise in another run's data."""
        return {"trial": self.trial.name, "epochs": str(job["epochs"]), "data": job["data_sha256"]}

    def _body(self, job: Job) -> dict[str, Any]:
        """What a job is asked to be; the size of a batch is the endpoint's to choose."""
        settings = {"n_epochs": job["epochs"], "learning_rate_multiplier": self.trial.settings.multiplier}
        told = {name: value for name, value in settings.items() if value is not None}
        return {
            "model": self._endpoint.model,
            "training_file": job["file"],
            "seed": self.trial.seed,
            "suffix": re.sub(r"[^a-z0-9-]", "-", self.trial.name)[-40:].strip("-"),
            "metadata": self._metadata(job),
            "method": {"type": "supervised", "supervised": {"hyperparameters": told}},
        }

    # ------------------------------------------------------------------ a job ends
    async def _wait(self, job: Job) -> None:
        told = await self._over(job)
        tokens = told.get("trained_tokens")
        if told["status"] != "succeeded" or not told.get("fine_tuned_model"):
            why = (told.get("error") or {}).get("message") or "its model is not there"
            self._bury(job, told["status"], tokens or 0)
            raise RequestFailed(f"{self._endpoint.url}: job {job['id']}: {told['status']}: {why}")
        kept = await self._checkpoints(told, job["epochs"], job["conversations"])
        job |= {name: told.get(name) for name in ("status", "created_at", "finished_at", "trained_tokens")}
        job |= {"checkpoints": kept, "usd": self._settle(job, tokens)}
        self._file()

    async def _over(self, job: Job) -> Any:
        """What the endpoint says about a job once it is over; one that it does not know any more is dead."""
        pauses = itertools.chain(POLLS, itertools.repeat(POLLS[-1]))
        try:
            while (told := await self._get(f"{PATH}/{job['id']}"))["status"] in WAITING:
                await asyncio.sleep(next(pauses))
        except RequestFailed as failure:
            if failure.status in (404, 410):
                self._bury(job, "expired", None)
            raise
        return told

    def _bury(self, job: Job, status: str, tokens: int | None) -> None:
        """This job comes to nothing; another run starts another one."""
        job |= {"status": status, "dead": True, "usd": self._settle(job, tokens)}
        self._file()

    async def _checkpoints(self, told: Any, epochs: int, conversations: int) -> list[dict[str, Any]]:
        """What a job kept, by epoch: the model that it ended with, and those at the ends of epochs before."""
        last, found = told["fine_tuned_model"], await self._listed(told["id"])
        steps = _steps(told, found, epochs, conversations)
        kept = {epochs: {"epoch": epochs, "step": steps or None, "loss": None, "adapter": last}}
        for each in found if steps else ():
            epoch, name = round(each["step_number"] * epochs / steps), each["fine_tuned_model_checkpoint"]
            loss = (each.get("metrics") or {}).get("train_loss")
            own = {"epoch": epoch, "step": each["step_number"], "loss": loss, "adapter": name}
            kept[epoch] = own | {"adapter": last} if epoch == epochs else own
        return list(kept.values())

    async def _listed(self, job: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        page: Any = {"has_more": True}
        while page.get("has_more"):
            after = {"after": found[-1]["id"]} if found else {}
            page = await self._get(f"{PATH}/{job}/checkpoints", limit="100", **after)
            found += page["data"]
            page = page if page["data"] else {}
        return found

    async def _get(self, path: str, **query: str) -> Any:
        return await self._client.patiently(path, lambda at: self._client.attempt("GET", at, params=query))

    # ------------------------------------------------------------------- the money
    def _piece(self, job: Job) -> str:
        return f"training-{self.trial.name}-{self._jobs.index(job)}.arrow"

    def _usd(self, tokens: int) -> float | None:
        price = self._endpoint.usd_training
        return price * tokens / 1e6 if price or not self._endpoint.api_key_env else None

    def _settle(self, job: Job, tokens: int | None) -> float | None:
        """Put into the ledger what a job cost; where it does not say, what was set aside for it stands."""
        if tokens is None:
            return None
        if tokens == 0:
            self._store.path(costs.FOLDER, self._piece(job)).unlink(missing_ok=True)
            return 0
        usd = self._usd(tokens)
        spent = Cost(self._endpoint.url, self._endpoint.model, "training", 1, tokens, 0, usd)
        costs.file(self._store, self._piece(job), [spent])
        return usd

    def _file_trial(self) -> None:
        kept = self._kept()
        checkpoints = [kept[epoch] for epoch in self.trial.checkpoints]
        done = [job for job in self._jobs if job["status"] == "succeeded"]
        came_of_it = {
            "checkpoints": checkpoints,
            "jobs": self._jobs,
            "data_sha256": done[0]["data_sha256"],
            "conversations": {"given": done[0]["conversations"], "cut": 0, "left_out": 0},
            "losses": [each["loss"] for each in checkpoints if each["loss"] is not None],
            "steps": checkpoints[-1]["step"],
            "seconds": sum((job["finished_at"] or 0) - (job["created_at"] or 0) for job in done),
        }
        trials.file(self._plan, self._store, self.trial, came_of_it)


def _steps(told: Any, found: list[dict[str, Any]], epochs: int, conversations: int) -> int:
    """How many steps a job had, so that all its checkpoints are at the ends of epochs; 0 if nothing says."""
    batch = (told.get("hyperparameters") or {}).get("batch_size")
    by_name = {each["fine_tuned_model_checkpoint"]: each["step_number"] for each in found}
    of_batches = epochs * math.ceil(conversations / batch) if isinstance(batch, int) and batch > 0 else 0
    maybe = (by_name.get(told["fine_tuned_model"], 0), of_batches, max(by_name.values(), default=0))
    return next((steps for steps in maybe if steps and _ends_of_epochs(by_name.values(), steps / epochs)), 0)


def _ends_of_epochs(steps: Iterable[int], per_epoch: float) -> bool:
    return all(step >= per_epoch / 2 and abs(step / per_epoch - round(step / per_epoch)) < 0.05 for step in steps)


def conversations(chats: list[Chat]) -> bytes:
    """Conversations as the API takes them, JSON lines; every turn of the assistant's is learnt."""
    told = ([{"role": turn.role, "content": turn.content} for turn in chat.turns] for chat in chats)
    return "".join(json.dumps({"messages": turns}, ensure_ascii=False) + "\n" for turns in told).encode()
