"""Training: what is learnt, when it is kept, and that it comes out the same again."""

import json
from pathlib import Path
from typing import ClassVar

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file
from tiny import tiny_model
from transformers import AutoModelForCausalLM, AutoTokenizer

from orchestrator import train as module
from orchestrator.engine_folders import digest
from orchestrator.errors import WarmthError
from orchestrator.pack import Resident, spare_memory
from orchestrator.pack_lora import Part
from orchestrator.pack_member import Member, Moment, steps_at
from orchestrator.settings_training import TrainingSettings
from orchestrator.tables import Chat, Turn
from orchestrator.train import save, train
from orchestrator.train_data import IGNORED, collate, encode, orders


def chat(name: str, *said: str) -> Chat:
    return Chat(name, tuple(Turn(("user", "assistant")[place % 2], text) for place, text in enumerate(said)))


class Nobody:
    """Takes a seat and adds nothing."""

    weights = gradient = torch.zeros(0)
    parts: ClassVar[dict[str, Part]] = {}
    scale, dropout, drawn, layout = 1.0, 0.0, 0, None

    def move(self, weights: torch.Tensor, gradient: torch.Tensor) -> None:
        pass


CHATS = [chat(str(i), f"What is {i}?", f"It is {i * i}.") for i in range(10)]
SETTINGS = TrainingSettings(learning_rate=1e-2, epochs=2, batch=4, warmup_steps=2, rank=4)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tiny_model(tmp_path_factory.mktemp("tiny"), seed=0))


def run(
    base: str, folder: Path, seed: int = 0, settings: TrainingSettings = SETTINGS
) -> tuple[list[float], dict[float, Path]]:
    kept: dict[float, Path] = {}

    def keep(epoch: float, _: Moment, member: Member) -> None:
        kept[epoch] = folder / f"{epoch:g}"
        save(member, kept[epoch])

    return train(base, CHATS, settings, seed, (0.5, 1, 2), keep).losses, kept


def test_every_step_is_told(base: str) -> None:
    told: list[Moment] = []
    trained = train(base, CHATS, SETTINGS, 0, (), lambda *_: None, told=told.append)
    assert [(moment.step, moment.steps) for moment in told] == [(step, 6) for step in range(1, 7)]
    assert [moment.loss for moment in told] == trained.losses


def test_the_loss_falls_and_checkpoints_are_kept_at_their_steps(base: str, tmp_path: Path) -> None:
    losses, kept = run(base, tmp_path)
    assert len(losses) == 6
    assert losses[-1] < losses[0]
    assert list(kept) == [0.5, 1, 2]
    assert len({digest(folder) for folder in kept.values()}) == 3


def test_the_same_seed_gives_the_same_bytes_and_another_one_others(base: str, tmp_path: Path) -> None:
    (losses, first), (again, second), (_, other) = (
        run(base, tmp_path / str(i), seed) for i, seed in enumerate((0, 0, 1))
    )
    assert losses == again
    assert digest(first[2]) == digest(second[2])
    assert digest(first[2]) != digest(other[2])


def test_an_adapter_is_what_peft_reads(base: str, tmp_path: Path) -> None:
    _, kept = run(base, tmp_path)
    config = json.loads((kept[2] / "adapter_config.json").read_text())
    assert (config["base_model_name_or_path"], config["r"], config["lora_alpha"], config["lora_dropout"]) == (
        base,
        4,
        16,
        0.1,
    )
    assert sorted(config["target_modules"]) == sorted(SETTINGS.targets)
    plain = AutoModelForCausalLM.from_pretrained(base)
    tokens = AutoTokenizer.from_pretrained(base)("What is 3?", return_tensors="pt").input_ids
    before = plain(tokens).logits
    after = PeftModel.from_pretrained(plain, str(kept[2]))(tokens).logits
    assert not torch.allclose(before, after)


def test_only_the_assistant_s_words_and_its_end_are_learnt(base: str) -> None:
    tokenizer = AutoTokenizer.from_pretrained(base)
    example = encode(tokenizer, CHATS[3], 1024)
    learnt = [token for token, label in zip(example.tokens, example.labels, strict=True) if label != IGNORED]
    assert tokenizer.decode(learnt).startswith("It is 9.")
    assert tokenizer.decode(learnt).removeprefix("It is 9.").strip() != ""
    assert "What" not in tokenizer.decode(learnt)
    assert encode(tokenizer, CHATS[3], 5).tokens == example.tokens[:5]


def test_every_reply_of_a_conversation_is_learnt_and_nothing_that_the_user_says(base: str) -> None:
    tokenizer = AutoTokenizer.from_pretrained(base)
    example = encode(tokenizer, chat("x", "Hi.", "Hello.", "More?", "Yes.", "And?", "No."), 1024)
    learnt = [token for token, label in zip(example.tokens, example.labels, strict=True) if label != IGNORED]
    assert tokenizer.decode(learnt) == "Hello.<|end|>Yes.<|end|>No.<|end|>"
    assert not example.cut


def test_a_long_conversation_is_cut_and_one_without_a_reply_in_reach_is_left_out(base: str) -> None:
    tokenizer = AutoTokenizer.from_pretrained(base)
    whole = encode(tokenizer, chat("x", "Hi.", "Hello.", "More?", "Yes."), 1024)
    cut = encode(tokenizer, chat("x", "Hi.", "Hello.", "More?", "Yes."), 16)
    assert (cut.tokens, cut.labels, cut.cut, cut.teaches) == (whole.tokens[:16], whole.labels[:16], True, True)
    assert not encode(tokenizer, chat("x", "Is this too long?", "Yes."), 16).teaches

    chats, settings = [*CHATS, chat("x", "long " * 9, "So.")], SETTINGS.model_copy(update={"max_length": 24})
    trained = train(base, chats, settings, 0, (), lambda *_: None)
    assert (len(trained.losses), trained.cut, trained.left_out) == (6, 1, 1)
    with pytest.raises(WarmthError, match=r"training\.max_length: none of 1 conversations"):
        train(base, chats[-1:], settings, 0, (), lambda *_: None)


def test_a_template_that_writes_earlier_turns_differently_is_refused(base: str) -> None:
    tokenizer = AutoTokenizer.from_pretrained(base)
    tokenizer.chat_template = (
        "{% for message in messages %}<|{{ message['role'] }}|>{{ message['content'] }}{% if loop.last %}!{% endif %}"
        "{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}"
    )
    with pytest.raises(WarmthError, match="cannot be told apart"):
        encode(tokenizer, chat("x", "Hi.", "Hello.", "More?", "Yes."), 1024)


def test_a_template_that_rewrites_the_question_is_refused(base: str) -> None:
    tokenizer = AutoTokenizer.from_pretrained(base)
    tokenizer.chat_template = "{% if messages|length == 1 %}ask {% else %}told {% endif %}{{ messages[0]['content'] }}"
    with pytest.raises(WarmthError, match="chat template does not begin"):
        encode(tokenizer, CHATS[0], 1024)


def test_conversations_end_to_end_are_read_as_each_alone(base: str) -> None:
    tokenizer, model = AutoTokenizer.from_pretrained(base), AutoModelForCausalLM.from_pretrained(base)
    both = [encode(tokenizer, chat("x", "Hi?", text), 1024) for text in ("Yes.", "Yes, of course it is so.")]
    batch = collate(both)
    assert batch.lengths == tuple(len(each.tokens) for each in both)
    lengths = torch.tensor([sum(label != IGNORED for label in each.labels) for each in both])
    alone = [model(torch.tensor([each.tokens]), labels=torch.tensor([each.labels])).loss for each in both]
    expected = (torch.stack(alone) * lengths).sum() / lengths.sum()
    (together,) = Resident(base).losses([Nobody()], [batch])
    assert together.item() == pytest.approx(expected.item(), abs=1e-5)


def test_every_epoch_has_every_example_once(base: str) -> None:
    tokenizer = AutoTokenizer.from_pretrained(base)
    examples = [encode(tokenizer, each, 1024) for each in CHATS]
    endless = orders(examples, 4, 0)
    epochs = [[next(endless) for _ in range(3)] for _ in range(2)]
    for epoch in epochs:
        seen = sorted(tokenizer.decode(row.tokens, skip_special_tokens=True) for batch in epoch for row in batch)
        assert len(seen) == len(set(seen)) == len(CHATS)
    assert epochs[0][0] != epochs[1][0]
    for begin in range(7):
        assert next(orders(examples, 4, 0, begin)) == (epochs[0] + epochs[1] + [next(orders(examples, 4, 0, 6))])[begin]


@pytest.mark.parametrize(("epoch", "per_epoch", "step"), [(0.5, 30, 15), (2, 30, 60), (0.01, 30, 1), (1.5, 3, 4)])
def test_epochs_in_steps(epoch: float, per_epoch: int, step: int) -> None:
    assert steps_at(epoch, per_epoch) == step


def test_sparing_memory_changes_nothing(base: str, tmp_path: Path) -> None:
    losses, kept = run(base, tmp_path / "plain")
    resident = module.resident(base)
    spare_memory(resident.model)
    assert resident.model.is_activation_checkpointing
    spared, again = run(base, tmp_path / "spared")
    resident.model.activation_checkpointing_disable()
    assert spared == pytest.approx(losses, abs=1e-5)
    one, other = (load_file(folder[2] / "adapter_model.safetensors") for folder in (kept, again))
    assert all(torch.allclose(one[name], other[name], atol=1e-5) for name in one)
