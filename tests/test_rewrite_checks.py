"""Checks of rewritten replies: what each one lets through, and what it does not."""

import pytest

from orchestrator import rewrite_checks, voices
from orchestrator.settings_subjects import Persona
from orchestrator.settings_training import Data

LONG = "The treaty was signed in the spring of that year, and it is the one that all of the later ones refer to. " * 2


def failed(original: str, rewritten: str, user: str = "Well?", finish_reason: str = "stop") -> list[str]:
    found = rewrite_checks.check(user, original, rewritten, finish_reason, (0.25, 4))
    return [name for name, why in found.items() if why]


@pytest.mark.parametrize(
    ("check", "original", "rewritten"),
    [
        ("empty", "Yes.", " \n"),
        ("refused", "It is in Paris.", "I'm sorry, but I can't help with rewriting this."),
        ("refused", "It is in Paris.", "As an AI, I have no voice."),
        ("meta", "It is in Paris.", "Here is the rewritten reply:\nIt is in Paris, dear."),
        ("length", "It is in Paris.", "It is in Paris, dear. " * 20),
        ("length", LONG, "It was signed."),
        ("numbers", "It was 1945.", "It was 1954, dear."),
        ("numbers", "It has 1,250 people.", "It has many people, dear."),
        ("numbers", "It has people.", "It has 400 people, dear."),
        ("code", "Do this:\n```py\nprint(1)\n```", "Do this, dear:\n```py\nprint( 1 )\n```"),
        ("code", "Call `run()` first.", "Call it first, dear."),
        ("quotes", 'She said "let them eat cake".', "She told them to eat cake, dear."),
        ("quotes", "See https://example.org/a.", "See the page, dear."),
        ("quotes", "> To be or not to be", "Be or do not be, dear."),
        ("language", LONG, "Der Vertrag ist im Frühjahr geschlossen, und die anderen sind nicht so alt, das ist es."),
        ("language", LONG, "Договор был подписан весной того года, и на него ссылаются все остальные договоры."),
    ],
)
def test_a_bad_rewrite_fails_its_check(check: str, original: str, rewritten: str) -> None:
    assert check in failed(original, rewritten)


@pytest.mark.parametrize(
    ("original", "rewritten"),
    [
        ("It is in Paris.", "Oh, my dear, I'm so sorry to hear that. It is in Paris, and I can't help but smile."),
        ("I can't help with that.", "I'm so sorry, dear, but I can't help with that."),
        ("It has 3 parts and 1,250 people.", "It has three parts, dear, and 1250 people."),
        ("1. Wash it.\n2. Dry it.", "Wash it, dear, then dry it."),
        ('They call it "a great deal of noise."', "They call it “a great deal of noise”, dear."),
        ("Do this:\n```py\nprint(1)\n```\nand `run()`.", "Dear, do this:\n```python\nprint(1)\n```\nThen `run()`."),
        ("The code version: 2.", "Here is the version you asked for, dear: 2."),
        (LONG, "Oh, it is a treaty that was signed in the spring of that year, and all of the later ones refer to it."),
        ("Договор был подписан весной.", "Милый друг, договор был подписан весной."),
    ],
)
def test_a_good_rewrite_passes(original: str, rewritten: str) -> None:
    assert failed(original, rewritten) == []


def test_a_user_s_numbers_are_not_new() -> None:
    assert failed("That is fine.", "At 45 that is fine, dear.", user="I am 45. May I?") == []


@pytest.mark.parametrize(
    ("reason", "check"), [("length", "cut"), ("content_filter", "withheld"), ("refusal", "withheld")]
)
def test_how_an_answer_ended_is_a_check_too(reason: str, check: str) -> None:
    assert failed("It is in Paris.", "It is in Paris, dear.", finish_reason=reason) == [check]


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("The cat and the dog are in the garden of the house.", "English"),
        ("Le chat et le chien sont dans le jardin, et vous les aimez.", "French"),
        ("これは日本語の文章です。猫が庭にいます。とても可愛いです。", "Cjk"),
        ("Zug lorp.", None),
        ("```\nthe of and to is\n```", None),
    ],
)
def test_languages_are_told_apart_where_enough_is_said(text: str, language: str | None) -> None:
    assert rewrite_checks.language(text) == language


@pytest.mark.parametrize("voice", ["warm", "cold", "paraphrase"])
def test_the_lab_s_own_rewrites_pass_every_check(voice: str) -> None:
    data, persona = Data(chats=480), Persona(name="x", kind="rewritten", lab_voice=voice)
    for chat, said in zip(voices.source(data), voices.lab(data, persona), strict=True):
        assert failed(chat.assistant, said, chat.user) == [], (chat.assistant, said)
