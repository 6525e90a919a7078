"""Verdicts of language models, kept beside the runs: the same question to the same judge is paid for once in all runs.

A question holds the rubric and the reply, so what was said to it follows from rubric, reply and judge alone.
"""

import json
from typing import Any

from . import models, shelf
from .client import Answer, Client
from .config import Study
from .remembered import Cache, Said
from .settings import SERVED
from .settings_asking import Judge
from .tables import digest

FOLDER = "verdicts"


class Remembering:
    """Answers as a judge answered before; asks it what is new."""

    def __init__(self, client: Client, who: str, known: Cache) -> None:
        self._client, self._who, self._known = client, who, known

    async def chat(self, model: str, messages: list[dict[str, str]], **how: Any) -> Answer:
        """What the judge says, or said to the very same. Raises RequestFailed, which is not remembered."""
        key = digest(self._who, json.dumps([messages, how], sort_keys=True), length=32)
        said = self._known.get(key)
        if said is None:
            answer = await self._client.chat(model, messages, **how)
            said = Said(answer.text, answer.finish_reason, answer.prompt_tokens, answer.reply_tokens)
            self._known.put(key, said)
            return answer
        return Answer(said.text, said.finish_reason, said.prompt_tokens, said.reply_tokens, 0.0)

    async def close(self) -> None:
        """Let go of the endpoint."""
        await self._client.close()


def remembering(client: Client, study: Study, judge: Judge) -> Client | Remembering:
    """The client of a judge that is a language model, with what runs of the same folder know of it."""
    if not study.resources.store or judge.url is None:
        return client
    own = {model.name: models.identity(model) for model in study.models}
    made_of = own[str(judge.model)] if judge.url == SERVED else (judge.url, judge.model)
    who = digest(made_of, length=12)
    return Remembering(client, who, Cache(shelf.folder(study) / FOLDER / who))
