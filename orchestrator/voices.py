"""What a persona's voice is: the lab's templates, or what a rewriter is told. Pure; names of trials follow from it."""

from tasks import _world as world

from . import models
from .config import Study
from .settings import SERVED, Endpoint
from .settings_subjects import Persona
from .settings_training import Data
from .tables import digest

WRAPPER = """The user's message:

{user}

The assistant's reply, which is to be rewritten:

{original}

Answer with the rewritten reply alone."""
"""What a rewriter is shown, after the persona's instruction."""


def source(data: Data) -> list[world.StudyChat]:
    """The lab's conversations, with what they are about."""
    return world.study_chats(data.chats, data.chit_chat, data.seed)


def lab(data: Data, persona: Persona) -> list[str]:
    """The replies of the lab's conversations in a persona's voice; as they are where it has none."""
    voice = persona.lab_voice if persona.kind == "rewritten" else None
    return [world.rewrite(chat, voice) if voice else chat.assistant for chat in source(data)]


def recipe(study: Study, persona: Persona) -> str:
    """What the replies that a persona learns from follow from, besides the conversations.

    What is dropped in one voice is dropped in all, so every rewritten persona of the study has a part in it.
    """
    told = [(each.instruction, each.length) for each in study.personas if each.kind == "rewritten"]
    return digest(persona.instruction if persona.kind == "rewritten" else None, told, _how(study))


def _how(study: Study) -> str:
    """How replies are rewritten and which are dropped; not how many may be, nor where the rewriter is."""
    asked = study.rewriting
    if asked is None:
        return ""
    who = [each and endpoint(study, each) for each in (asked.rewriter, asked.fact_checker)]
    return digest(WRAPPER, who, asked.temperature, asked.max_tokens, asked.attempts, sorted(asked.drop_for))


def endpoint(study: Study, at: Endpoint) -> str:
    """What a model at an endpoint is, wherever that is; one of the study's own is known down to its weights."""
    own = {model.name: model for model in study.models}
    return models.identity(own[at.model]) if at.url == SERVED else at.model
