"""Conversations in, and the same conversations in a persona's voice out. Users' turns are never touched."""

from tasks import _world as world

from .config import Data, Persona
from .tables import Chat


def chats(data: Data) -> list[Chat]:
    """The study's conversations as they are."""
    return [Chat(chat.id, chat.user, chat.assistant) for chat in _source(data)]


def in_voice(data: Data, persona: Persona) -> list[Chat]:
    """The study's conversations as a persona's trials learn them."""
    voice = persona.lab_voice
    if voice is None:
        return chats(data)
    return [Chat(chat.id, chat.user, world.rewrite(chat, voice)) for chat in _source(data)]


def _source(data: Data) -> list[world.StudyChat]:
    return world.study_chats(data.chats, data.chit_chat, data.seed)
