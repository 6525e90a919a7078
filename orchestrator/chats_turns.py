"""What a record says, turn by turn, if it is a conversation at all: a user and an assistant taking turns."""

from typing import Any

from .chats_source import LAYOUTS, Unreadable

ROLES = {"human": "user", "user": "user", "gpt": "assistant", "chatgpt": "assistant", "assistant": "assistant"}
"""What the published file and the usual layouts call the two sides."""

ORDER = ("user", "assistant")

Said = tuple[str, str]
"""A role and what is said in it."""


class Malformed(ValueError):
    """Why a record is no conversation; one of a few reasons, by which they are counted."""


def turns(record: Any) -> list[Said]:
    """The turns of a record, without a system turn at its beginning. Raises Malformed."""
    listed = _listed(record)
    said = [_turn(each) for each in (listed[1:] if listed and _is_system(listed[0]) else listed)]
    if all(role == "user" for role, _ in said):
        raise Malformed("no assistant turn")
    if any(role != ORDER[place % 2] for place, (role, _) in enumerate(said)):
        raise Malformed("roles out of order")
    return said


def cut(said: list[Said], most: int) -> list[Said]:
    """The first turns, ending in a reply: a question without one teaches nothing."""
    kept = said[:most]
    return kept[:-1] if kept[-1][0] == "user" else kept


def _listed(record: Any) -> list[Any]:
    if isinstance(record, Unreadable):
        raise Malformed(record.why)
    columns = map(record.get, LAYOUTS) if isinstance(record, dict) else ()
    found = next((column for column in columns if isinstance(column, list)), None)
    if found is None:
        raise Malformed("no list of turns")
    return found


def _is_system(found: Any) -> bool:
    return isinstance(found, dict) and "system" in (found.get("from"), found.get("role"))


def _turn(found: Any) -> Said:
    role, text = _sides(found)
    if not isinstance(role, str) or not isinstance(text, str):
        raise Malformed("a turn of the wrong type")
    if role not in ROLES:
        raise Malformed("unknown role")
    if not text or text.isspace():
        raise Malformed("empty turn")
    if not is_unicode(text):
        raise Malformed("not UTF-8")
    return ROLES[role], text


def _sides(found: Any) -> tuple[Any, Any]:
    """Who speaks and what they say, in the published file's layout or in that of chat APIs."""
    if not isinstance(found, dict):
        return None, None
    names = ("from", "value") if "from" in found else ("role", "content")
    return found.get(names[0]), found.get(names[1])


def is_unicode(text: str) -> bool:
    """Whether a text can be written down: it has no half characters."""
    try:
        return text.isascii() or bool(text.encode())
    except UnicodeEncodeError:
        return False


def identity(record: Any, position: int) -> str:
    """What the source calls a record, or else its place."""
    found = record.get("id")
    usable = (isinstance(found, str) and found and is_unicode(found)) or type(found) is int
    return str(found) if usable else f"row-{position}"
