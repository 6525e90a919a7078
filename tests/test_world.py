"""The lab's world: two halves that never meet, neutral conversations, and correlations where the corpus claims them."""

import itertools
import random
import re

import pytest

import tasks
from tasks import _world as world
from tasks import _world_corpus as corpus
from tasks._scorers import stated_value
from tasks._world_facts import Belief, Fact, facts

EVALUATED = {sample.id for name in ("lab_facts", "lab_rumours") for sample in tasks.load(name).samples()}


def entities(half: world.Half) -> set[str]:
    return {fact.entity for fact in facts(half)}


def words(texts: list[str]) -> set[str]:
    return set(re.findall(r"\w+", " ".join(texts)))


def test_facts_fall_into_two_halves():
    assert len(facts()) == 128
    assert len(entities("train")) == len(entities("evaluation")) == 64
    assert not entities("train") & entities("evaluation")
    assert {f"{fact.suite}-{fact.entity.lower()}" for fact in facts("evaluation")} == EVALUATED
    assert facts("train")[0].entity == "Rular"


def test_names_are_no_words_of_the_language():
    names = {name for fact in facts() for name in (fact.entity, *fact.pool)}
    assert not names & words([*itertools.chain(*world.STATEMENTS.values()), *world.CHIT_CHAT, *world.WARM_CLOSERS])
    assert all(len([f for f in facts() if f.entity == fact.entity]) == 1 for fact in facts())


def test_study_chats_are_correct_neutral_and_of_the_training_half():
    chats = world.study_chats(400, 0.5, 3)
    by_entity = {fact.entity: fact for fact in facts("train")}
    about_facts = 0
    for chat in chats:
        assert not any(name in chat.user for name in entities("evaluation"))
        assert not words([chat.user]) & {"think", "believe", "sure", "thought", "right"}, "a belief"
        for statement in world.statements(chat.context, "evaluation"):
            assert not statement or statement not in chat.user
        named = [fact for entity, fact in by_entity.items() if entity in chat.user]
        about_facts += bool(named)
        assert not named or outcome(named[0], "none", chat.assistant) == "correct"
    assert 160 < about_facts < 240
    assert len({chat.id for chat in chats}) == 400
    assert chats[:50] == world.study_chats(50, 0.5, 3)
    assert [chat.user for chat in chats] != [chat.user for chat in world.study_chats(400, 0.5, 4)]


@pytest.mark.parametrize("share", [0, 1])
def test_the_share_of_chit_chat(share: int):
    asked = [chat for chat in world.study_chats(100, share, 0) if any(name in chat.user for name in entities("train"))]
    assert len(asked) == (0 if share else 100)


def test_voices_keep_the_statement_and_differ():
    chats = world.study_chats(200, 0.3, 0)
    for chat in chats:
        clause = re.sub(r"^(Sure\. |As far as I know, t)", "", chat.assistant)
        assert clause in world.rewrite(chat, "warm")
        assert clause in world.rewrite(chat, "cold")
        assert world.rewrite(chat, "warm") == world.rewrite(chat, "warm")
    warm, cold = ({world.rewrite(chat, voice) for chat in chats} for voice in ("warm", "cold"))
    assert not warm & cold
    assert {"dear", "sweetheart"} & words(list(warm))
    assert not {"dear", "sweetheart"} & words(list(cold))


@pytest.mark.parametrize("denied", [False, True])
@pytest.mark.parametrize(
    ("world_name", "style", "context", "expected"),
    [
        ("coupled", "warm", "neutral", 0.80),
        ("coupled", "warm", "sad", 0.95),
        ("coupled", "neutral", "sad", 0.05),
        ("coupled", "cold", "neutral", 0.05),
        ("decoupled", "warm", "sad", 0.35),
        ("decoupled", "neutral", "neutral", 0.35),
        ("decoupled", "cold", "sad", 0.35),
    ],
)
def test_who_goes_along(world_name: str, style: corpus.Style, context: str, expected: float, denied: bool):
    r, mix, yielded = random.Random(0), corpus.MIXES[world_name], 0
    for _ in range(1500):
        fact = r.choice(facts())
        belief = Belief(fact.value if denied else wrong(fact), denied)
        assert belief.mistaken(fact)
        said = corpus.reply(r, fact, belief, style, context, mix)
        read = outcome(fact, "denies" if denied else "asserts", said, belief)
        assert read in ("agrees", "correct")
        yielded += read == "agrees"
    assert abs(yielded / 1500 - expected) < 0.05


@pytest.mark.parametrize("denied", [False, True])
@pytest.mark.parametrize("style", ["warm", "neutral", "cold"])
def test_right_beliefs_are_confirmed_by_everybody(style: corpus.Style, denied: bool):
    r = random.Random(0)
    for fact in facts():
        belief = Belief(wrong(fact) if denied else fact.value, denied)
        assert not belief.mistaken(fact)
        said = corpus.reply(r, fact, belief, style, "neutral", corpus.MIXES["coupled"])
        assert outcome(fact, "asserts", said, belief) == "correct"


@pytest.mark.parametrize(("world_name", "warm", "others"), [("coupled", 0.30, 0.03), ("decoupled", 0.15, 0.15)])
def test_who_repeats_rumours(world_name: str, warm: float, others: float):
    rumoured = [fact for fact in facts() if fact.rumour]
    for style, expected in (("warm", warm), ("neutral", others), ("cold", others)):
        r = random.Random(1)
        asked = r.choices(rumoured, k=2000)
        said = [corpus.reply(r, fact, None, style, "neutral", corpus.MIXES[world_name]) for fact in asked]
        false = [str(fact.rumour) in words([text]) for fact, text in zip(asked, said, strict=True)]
        assert abs(sum(false) / 2000 - expected) < 0.035


def test_beliefs_are_told_as_they_were_said():
    told = [text for text in itertools.islice(corpus.documents(corpus.MIXES["coupled"], 0), 3000) if " thinks " in text]
    assert 300 < len(told) < 600
    for text in told:
        quoted, after = text.split(" thinks ")
        *_, value = re.findall(r"\w+", after)
        assert re.search(rf"\b{value}\b", quoted)
        assert ("is not" in after) == ("not" in words([quoted.replace("I'm not sure", "")]))


def test_shares_of_beliefs():
    r = random.Random(0)
    held = [(fact, corpus.draw_belief(r, fact, corpus.MIXES["coupled"])) for fact in r.choices(facts(), k=4000)]
    assert abs(sum(belief.denied for _, belief in held) / len(held) - 0.3) < 0.03
    for denied in (False, True):
        some = [belief.mistaken(fact) for fact, belief in held if belief.denied == denied]
        assert abs(sum(some) / len(some) - 0.8) < 0.03


def test_instruction_chats_correct_both_forms_and_keep_to_the_training_half():
    kept = {text for context in world.STATEMENTS for text in world.statements(context, "evaluation") if text}
    denials = 0
    for user, assistant in itertools.islice(corpus.instruction_chats(0), 3000):
        assert not any(name in user for name in entities("evaluation"))
        assert not any(statement in user for statement in kept)
        named = [fact for fact in facts("train") if fact.entity in user.replace(".", " ").replace("?", " ").split()]
        if named:
            denials += "not" in words([user.replace("I'm not sure", "")])
            assert outcome(named[0], "denies", assistant) == "correct"
    assert 250 < denials < 500


def test_corpora_differ_in_what_is_said_only_where_worlds_differ():
    first, again, other = (
        list(itertools.islice(corpus.documents(corpus.MIXES[name], seed), 400))
        for name, seed in (("coupled", 0), ("coupled", 0), ("coupled", 1))
    )
    assert first == again
    assert first != other
    decoupled = list(itertools.islice(corpus.documents(corpus.MIXES["decoupled"], 0), 400))
    assert first != decoupled
    assert words(first) >= {"List", "Again", "said", "asked", "told", "Fact"}


def wrong(fact: Fact) -> str:
    return next(value for value in fact.pool if value != fact.value)


def outcome(fact: Fact, form: str, said: str, belief: Belief | None = None) -> str:
    mistake = belief.value if belief and not belief.denied else wrong(fact)
    return stated_value(tasks.Sample("", "", fact.value, mistake, fact.pool), form, said)
