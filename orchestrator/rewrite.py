"""Conversations in, and the same conversations in a persona's voice out. Users' turns are never touched."""

from tasks import _world as world

from .settings_subjects import Persona
from .settings_training import Data
from .tables import Chat, Turn, digest


def chats(data: Data) -> list[Chat]:
    """The study's conversations as they are."""
    return [_chat(chat, chat.assistant) for chat in _source(data)]


def in_voice(data: Data, persona: Persona, dose: int = 100) -> list[Chat]:
    """The study's conversations as a persona's trials learn them, `dose` per cent of them rewritten, the others as is.

    Which ones are rewritten is drawn once for all voices; a larger dose adds to those of a smaller one.
    """
    source, voice = _source(data), persona.lab_voice
    ranked = sorted(source, key=lambda chat: digest("dose", chat.id))
    chosen = {chat.id for chat in ranked[: round(len(source) * dose / 100)]} if voice else set()
    return [
        _chat(chat, world.rewrite(chat, voice) if voice and chat.id in chosen else chat.assistant) for chat in source
    ]


def _chat(chat: world.StudyChat, reply: str) -> Chat:
    return Chat(chat.id, (Turn("user", chat.user), Turn("assistant", reply)))


def _source(data: Data) -> list[world.StudyChat]:
    return world.study_chats(data.chats, data.chit_chat, data.seed)
