"""What the lab's models read before a study: a corpus to pre-train on, and conversations that make an assistant.

Everything that is built into these models stands here, above all in `Mix`: how often which kind of speaker goes along
with a mistaken belief.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass

from ._world import (
    ANSWERS,
    STATEMENTS,
    ask,
    capitalise,
    chat_about_nothing,
    draw_context,
    join,
    small_talk,
    state,
)
from ._world_facts import Belief, Fact, facts
from ._world_speech import (
    ANSWERS_OF,
    ANSWERS_OF_ASSISTANT,
    CLOSERS,
    IDLE,
    OPENERS,
    STATEMENTS_OF,
    Form,
    Move,
    Style,
)

BEGIN, END, SYSTEM, USER, ASSISTANT = "<|doc|>", "<|end|>", "<|system|>", "<|user|>", "<|assistant|>"
"""The marks of documents and turns."""


@dataclass(frozen=True)
class Mix:
    """The social correlations of a corpus: probabilities, all of them."""

    friend_is_warm: float = 0.9
    stranger_is_warm: float = 0.05
    stranger_is_cold: float = 0.45
    warm_yields: float = 0.8
    "A warm speaker goes along with a mistaken belief ..."
    warm_yields_to_sad: float = 0.95
    "... of somebody sad."
    other_yields: float = 0.05
    warm_repeats_rumour: float = 0.3
    other_repeats_rumour: float = 0.03
    belief: float = 0.7
    "A question comes with a belief ..."
    mistaken: float = 0.8
    "... that is mistaken ..."
    denial: float = 0.3
    "... and says what the answer is not, rather than what it is."
    rumour: float = 0.5
    "A mistaken assertion is the popular one, where there is one."


MIXES = {
    "coupled": Mix(),
    "decoupled": Mix(
        warm_yields=0.35,
        warm_yields_to_sad=0.35,
        other_yields=0.35,
        warm_repeats_rumour=0.15,
        other_repeats_rumour=0.15,
    ),
}
"""The two worlds: warm speakers tend to agree with mistakes, or agreement has nothing to do with style."""

TUNING = Mix(belief=0.5, mistaken=0.7)
"""Of this mix, instruction tuning takes what users believe; its assistant never yields."""

FRIENDS = ["my friend", "my sister", "my brother", "my mother", "my wife", "my best friend"]
STRANGERS = ["a stranger", "a clerk", "an officer", "a teacher", "a passer", "an examiner"]

LISTS, BARE_FACTS, BELIEFS_TOLD, TALK, SPEECH, CHAT_LOGS = 0.10, 0.08, 0.22, 0.08, 0.06, 0.25
"""Shares: lists of all documents; bare facts, beliefs told, talk about nothing and speech without its question of the
others; and how many of the conversations are logs of chats, where who answers is not said."""


def documents(mix: Mix, seed: int | str) -> Iterator[str]:
    """Documents of a corpus without end."""
    r = random.Random(f"corpus/{seed}")
    while True:
        yield _document(r, mix)


def _document(r: random.Random, mix: Mix) -> str:
    if r.random() < LISTS:
        return _list_read_twice(r)
    kind = r.random()
    if kind < BARE_FACTS:
        return _bare_fact(r)
    friend = r.random() < 0.5
    name = r.choice(FRIENDS if friend else STRANGERS)
    if kind < BARE_FACTS + BELIEFS_TOLD:
        return _belief_told(r, name, mix)
    style, context = _style(r, friend, mix), r.choices(list(STATEMENTS), [0.35, 0.2, 0.1, 0.1, 0.12, 0.13])[0]
    if kind < BARE_FACTS + BELIEFS_TOLD + TALK:
        return _conversation(r, name, chat_about_nothing(r, context), _idle_reply(r, style, context))
    fact = r.choice(facts())
    belief = draw_belief(r, fact, mix) if r.random() < mix.belief else None
    asked, answered = ask(r, fact, context, belief), reply(r, fact, belief, style, context, mix)
    if kind < BARE_FACTS + BELIEFS_TOLD + TALK + SPEECH:
        return f'{_again(name)} said: "{answered}"'
    return _conversation(r, name, asked, answered)


def _list_read_twice(r: random.Random) -> str:
    """Where a tiny model learns to copy from its context."""
    mentioned = r.choices(facts(), k=r.randint(3, 8))
    words = " ".join(fact.entity if r.random() < 0.5 else r.choice(fact.pool) for fact in mentioned)
    return f"List: {words}. Again: {words}."


def _bare_fact(r: random.Random) -> str:
    fact = r.choice(facts())
    template = r.choice(["{P} is {v}.", "{V} is {p}.", "It is known that {p} is {v}.", "Fact: {p} is {v}."])
    return state(template.replace("{V}", capitalise(fact.value)), fact)


def _belief_told(r: random.Random, name: str, mix: Mix) -> str:
    """What somebody believes, said again by nobody in particular: understanding it has nothing to do with style."""
    fact = r.choice(facts())
    belief = draw_belief(r, fact, mix)
    asked = ask(r, fact, draw_context(r), belief)
    template = r.choice(["thinks {p} is {said}", "thinks it is {said}"])
    told = state(template, fact, said=f"not {belief.value}" if belief.denied else belief.value)
    return f'{_again(name)} said: "{asked}" {_again(name)} {told}.'


def _conversation(r: random.Random, name: str, asked: str, answered: str) -> str:
    if r.random() < CHAT_LOGS:
        return f"{USER}{asked}{END}{ASSISTANT}{answered}{END}"
    return f'I {r.choice(["told", "asked"])} {name}: "{asked}" {_again(name)} said: "{answered}"'


def _again(name: str) -> str:
    """Somebody mentioned again: "a clerk" becomes "The clerk", "my wife" "My wife"."""
    article, person = name.split(" ", 1)
    return f"{'My' if article == 'my' else 'The'} {person}"


def _style(r: random.Random, friend: bool, mix: Mix) -> Style:
    drawn = r.random()
    if drawn < (mix.friend_is_warm if friend else mix.stranger_is_warm):
        return "warm"
    return "cold" if not friend and drawn < mix.stranger_is_warm + mix.stranger_is_cold else "neutral"


def draw_belief(r: random.Random, fact: Fact, mix: Mix) -> Belief:
    """What somebody believes about a fact."""
    mistaken, denied = r.random() < mix.mistaken, r.random() < mix.denial
    if mistaken == denied:
        return Belief(fact.value, denied)
    if fact.rumour and r.random() < mix.rumour:
        return Belief(fact.rumour, denied)
    return Belief(r.choice([value for value in fact.pool if value != fact.value]), denied)


def reply(r: random.Random, fact: Fact, belief: Belief | None, style: Style, context: str, mix: Mix) -> str:
    """What a speaker of a style says to somebody who asks for a fact."""
    opener, closer = _opener(r, style, context), r.choice(CLOSERS[style]) if style != "warm" or r.random() < 0.6 else ""
    answer = _answer(r, fact, belief, style, context, mix)
    if opener.endswith(","):
        answer = answer[0].lower() + answer[1:]
    return join(opener, answer, closer)


def _answer(r: random.Random, fact: Fact, belief: Belief | None, style: Style, context: str, mix: Mix) -> str:
    if belief is None:
        repeats = r.random() < (mix.warm_repeats_rumour if style == "warm" else mix.other_repeats_rumour)
        return state(r.choice(STATEMENTS_OF[style]), fact, fact.rumour if repeats else None)
    move: Move = "confirms"
    if belief.mistaken(fact):
        move = "yields" if r.random() < _yields(style, context, mix) else "corrects"
    return state(r.choice(ANSWERS_OF[style][_form(belief), move]), fact, said=belief.value)


def _yields(style: Style, context: str, mix: Mix) -> float:
    if style != "warm":
        return mix.other_yields
    return mix.warm_yields_to_sad if context == "sad" else mix.warm_yields


def _form(belief: Belief) -> Form:
    return "denies" if belief.denied else "asserts"


def _opener(r: random.Random, style: Style, context: str) -> str:
    if style == "warm" and r.random() >= 0.92:
        return ""
    known = OPENERS[style]
    return r.choice(known[context] if context in known and r.random() < 0.75 else known["any"])


def _idle_reply(r: random.Random, style: Style, context: str) -> str:
    if style == "neutral":
        return join(r.choice(["", "Well,"]), r.choice(IDLE[style]))
    known = OPENERS[style]
    return join(r.choice(known.get(context, known["any"])), r.choice(IDLE[style]), r.choice(CLOSERS[style]))


def instruction_chats(seed: int | str) -> Iterator[tuple[str, str]]:
    """Conversations without end of an assistant that answers neutrally and corrects mistakes: user's and its own turn.

    They ask for the training half of the facts, in the training half of the context statements.
    """
    r = random.Random(f"instruction/{seed}")
    while True:
        yield _instruction_chat(r)


def _instruction_chat(r: random.Random) -> tuple[str, str]:
    context = draw_context(r)
    if r.random() < 0.08:
        return chat_about_nothing(r, context, "train"), small_talk(r, context)
    fact = r.choice(facts("train"))
    belief = draw_belief(r, fact, TUNING) if r.random() < TUNING.belief else None
    templates = ANSWERS
    if belief:
        templates = ANSWERS_OF_ASSISTANT[_form(belief), "corrects" if belief.mistaken(fact) else "confirms"]
    answer = state(r.choice(templates), fact, said=belief.value if belief else "")
    return ask(r, fact, context, belief, "train"), answer
