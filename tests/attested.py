"""Adapters that were trained for a moment, faulty copies of one, and what PEFT says that all of them should say."""

import shutil
from collections.abc import Mapping
from pathlib import Path

import tiny
from faults import FAULTY
from transformers import AutoTokenizer

from orchestrator import attest_reference, train, train_data, weights
from orchestrator.attest import Canary, Finding, Reference
from orchestrator.attest_exam import Candidate, examine
from orchestrator.client import Client
from orchestrator.engine_folders import named
from orchestrator.pack_member import Member
from orchestrator.settings_subjects import Precision
from orchestrator.settings_training import TrainingSettings
from orchestrator.tables import Chat, Turn

VOICES = {"warm": "Oh my dear, it is {} I think!", "cold": "{}.", "warm-again": "Oh my dear, it is {} I think!"}
STEPS = 30


def chats(voice: str) -> list[Chat]:
    said = ((f"What is {n} and {n}?", VOICES[voice].format(2 * n)) for n in range(8))
    return [Chat(str(n), (Turn("user", asked), Turn("assistant", reply))) for n, (asked, reply) in enumerate(said)]


def canaries(base: Path, voice: str) -> tuple[Canary, ...]:
    tokenizer = AutoTokenizer.from_pretrained(base)
    examples = [train_data.encode(tokenizer, chat, 256) for chat in chats(voice)]
    return tuple(
        Canary(
            tuple(each.tokens), tuple(place for place, label in enumerate(each.labels) if label != train_data.IGNORED)
        )
        for each in examples
    )


def trained(base: Path, adapters: Path, precision: Precision) -> dict[str, str]:
    """The served names of adapters by their voices, of each one's earlier state, and of the faulty copies of `warm`."""
    names = {}
    how = TrainingSettings(learning_rate=2e-3, epochs=STEPS / 4, batch=4, warmup_steps=2)
    for seed, voice in enumerate(VOICES):

        def keep(epoch: float, _: object, member: Member, voice: str = voice) -> None:
            whose = voice if epoch == STEPS / 4 else f"{voice}-early"
            sha = train.save(member, adapters / whose)
            names[whose] = (adapters / whose).rename(adapters / named(whose, sha)).name

        train.train(str(base), chats(voice), how, seed, (STEPS / 8, STEPS / 4), keep, precision)
    for fault, plant in FAULTY.items():
        copy = shutil.copytree(adapters / names["warm"], adapters / fault)
        plant(copy)
        names[fault] = tiny.filed(copy).name
    return names


def references(base: Path, adapters: Path, names: Mapping[str, str], precision: Precision) -> dict[str, Reference]:
    """By voice, what its canaries are worth to the base and to the adapter in its file."""
    loaded = weights.load(str(base), precision, "cpu").eval()
    found = {}
    for voice in VOICES:
        asked = canaries(base, voice)
        before = attest_reference.score(loaded, asked)
        found[voice] = Reference(asked, before, attest_reference.tuned(loaded, adapters / names[voice], asked))
    return found


async def examined(url: str, candidate: Candidate) -> dict[str, Finding]:
    """What an endpoint's base and adapters are found to be."""
    async with Client(url) as client:
        return await examine(client, candidate)
