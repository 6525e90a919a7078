"""Trials of hosted models, trained by the OpenAI fine-tuning API.

A job outlives whoever waits for it: a run that is killed finds it again when it is started again, and never starts a
second one for the same thing.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable

from . import costs, trials
from .client import Client, RequestFailed
from .hosted_jobs import Training
from .paid import OverBudget
from .plan import Plan, Trial
from .store import Store


class Tuning:
    """Trials on their way, in two steps, so that others are trained here meanwhile: `begin`, then `finish`."""

    def __init__(self, plan: Plan, waiting: Iterable[Trial], store: Store) -> None:
        self._plan, self._store, self._waiting = plan, store, list(waiting)

    def begin(self) -> None:
        """Start a job for every trial that has none. A trial that fails is filed, and the others go on."""
        asyncio.run(self._each(lambda training: training.begin()))

    def finish(self, note: Callable[[str], None]) -> None:
        """Wait for the jobs, and file the trials."""

        async def finish(training: Training) -> None:
            await training.finish()
            note(training.trial.name)

        asyncio.run(self._each(finish))

    async def _each(self, do: Callable[[Training], Awaitable[None]]) -> None:
        done = await asyncio.gather(*(self._well(trial, do) for trial in self._waiting))
        self._waiting = [trial for trial, well in zip(self._waiting, done, strict=True) if well]

    async def _well(self, trial: Trial, do: Callable[[Training], Awaitable[None]]) -> bool:
        """Whether it went well; a trial that the budget has no room for has not failed, and waits for another run."""
        endpoint = trial.model.hosted
        assert endpoint is not None
        async with Client(endpoint.url, costs.key(endpoint)) as client:
            try:
                await do(Training(self._plan, trial, endpoint, self._store, client))
            except OverBudget:
                return False
            except RequestFailed as failure:
                trials.file_failure(self._store, trial.name, str(failure))
                return False
            except (LookupError, TypeError, AttributeError) as odd:
                why = f"{endpoint.url}: an answer that is not the fine-tuning API's ({type(odd).__name__}: {odd})"
                trials.file_failure(self._store, trial.name, why)
                return False
        return True
