"""Trials that learn side by side: each as if it were alone, whoever leaves, however many there is room for."""

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file
from test_train import CHATS, chat
from tiny import tiny_model
from transformers import AutoModelForCausalLM

from orchestrator.errors import WarmthError
from orchestrator.pack import Resident
from orchestrator.pack_member import Job, Member, Trained
from orchestrator.pack_width import SAMPLES, Width
from orchestrator.settings_training import TrainingSettings
from orchestrator.tables import Chat
from orchestrator.train import train_all
from orchestrator.train_data import collate, encode, orders

UNEVEN = [*CHATS, chat("long", "Why?", "Because of " + "this and " * 9 + "that.", "And?", "No.")]


class Heard:
    """Listens, and remembers; `after` says what happens at each checkpoint."""

    def __init__(self, after: Any = None) -> None:
        self.trained: dict[str, Trained] = {}
        self.weights: dict[tuple[str, float], torch.Tensor] = {}
        self.failures: dict[str, str] = {}
        self._after = after

    def begun(self, member: Member) -> None:
        pass

    def moved(self, member: Member) -> None:
        pass

    def kept(self, member: Member, epoch: float) -> None:
        self.weights[member.job.name, epoch] = member.state()["weights"].clone()
        if self._after:
            self._after(member)

    def done(self, job: Job, trained: Trained) -> None:
        self.trained[job.name] = trained

    def failed(self, job: Job, error: WarmthError) -> None:
        self.failures[job.name] = str(error)


def job(name: str, seed: int = 0, chats: Sequence[Chat] = UNEVEN, **settings: Any) -> Job:
    given = {"learning_rate": 1e-2, "epochs": 2, "batch": 4, "warmup_steps": 2, "rank": 4, **settings}
    return Job(name, chats, TrainingSettings(**given), seed, (1, given["epochs"]))


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tiny_model(tmp_path_factory.mktemp("packed"), seed=0))


@pytest.fixture(scope="module")
def resident(base: str) -> Resident:
    return Resident(base)


JOBS = [
    job("plain"),
    job("slow", 1, learning_rate=3e-3, epochs=3, rank=8, dropout=0.3),
    job("few", 2, targets=["q_proj", "down_proj"], rank=2, dropout=0.0),
    job("short", 3, CHATS[:6], batch=2, alpha=4),
    job("other", 4, rank=1),
]


def test_each_learns_as_if_it_were_alone(resident: Resident) -> None:
    alone, together = Heard(), Heard()
    for each in JOBS:
        train_all(resident, [each], alone, most=1)
    train_all(resident, JOBS, together, most=8)
    assert together.weights.keys() == alone.weights.keys()
    assert len(alone.weights) == 2 * len(JOBS)
    for at, weights in alone.weights.items():
        assert (together.weights[at] - weights).abs().max() <= 1e-5
    for name, trained in alone.trained.items():
        assert together.trained[name].losses == pytest.approx(trained.losses, abs=1e-5)
        assert trained.packed is None
    certified = [trained.packed for trained in together.trained.values() if trained.packed]
    assert len(certified) >= 2
    assert all(each["gradient_difference"] <= 1e-5 < each["gradient"] for each in certified)


def test_it_learns_what_peft_learns(resident: Resident, base: str, tmp_path: Path) -> None:
    settings = {"dropout": 0.0, "warmup_steps": 0}
    mine, heard = job("mine", **settings), Heard()
    begun = Member(resident, mine)
    begun.save(tmp_path / "begun")
    train_all(resident, [mine], heard, most=1)

    lora = LoraConfig(r=4, lora_alpha=16, target_modules=list(mine.settings.targets))
    peft = get_peft_model(AutoModelForCausalLM.from_pretrained(base), lora).train()
    start = {
        name.replace(".weight", ".default.weight"): weight
        for name, weight in load_file(tmp_path / "begun" / "adapter_model.safetensors").items()
    }
    assert not peft.load_state_dict(start, strict=False).unexpected_keys
    learnt = [weight for weight in peft.parameters() if weight.requires_grad]
    optimizer = torch.optim.AdamW(learnt, lr=1e-2, weight_decay=0.0)
    losses = []
    examples = [encode(resident.tokenizer, each, 1024) for each in UNEVEN]
    for chosen, _ in zip(orders(examples, 4, 0), heard.trained["mine"].losses, strict=False):
        width = max(len(each.tokens) for each in chosen)
        rows = {
            "input_ids": [each.tokens + [0] * (width - len(each.tokens)) for each in chosen],
            "attention_mask": [[1] * len(each.tokens) + [0] * (width - len(each.tokens)) for each in chosen],
            "labels": [each.labels + [-100] * (width - len(each.tokens)) for each in chosen],
        }
        loss = peft(**{name: torch.tensor(row) for name, row in rows.items()}).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    assert heard.trained["mine"].losses == pytest.approx(losses, abs=1e-4)
    assert losses[-1] < losses[0]


def test_one_that_diverges_leaves_and_disturbs_nobody(resident: Resident) -> None:
    alone, together = Heard(), Heard()
    train_all(resident, [JOBS[0]], alone, most=1)
    wild = job("wild", 7, learning_rate=1e30, epochs=4)
    train_all(resident, [wild, JOBS[0], JOBS[1]], together, most=4)
    assert list(together.failures) == ["wild"]
    assert "training.learning_rate" in together.failures["wild"]
    assert torch.equal(together.weights["plain", 2], alone.weights["plain", 2])
    assert set(together.trained) == {"plain", "slow"}


def test_one_that_was_stopped_goes_on_as_if_nothing_had_happened(base: str) -> None:
    whole, left = Heard(), {}

    def leave(member: Member) -> None:
        left.setdefault(
            member.job.name, ({key: each.clone() for key, each in member.state().items()}, [*member.losses])
        )

    train_all(Resident(base), JOBS[:2], Heard(leave), most=4)
    train_all(Resident(base), JOBS[:2], whole, most=4)

    class Again(Heard):
        def begun(self, member: Member) -> None:
            member.restore(*left[member.job.name])

    again = Again()
    train_all(Resident(base), JOBS[:2], again, most=1)
    for name in ("plain", "slow"):
        assert again.trained[name].losses == whole.trained[name].losses
    assert ("plain", 1) not in again.weights
    for at, weights in again.weights.items():
        assert torch.equal(weights, whole.weights[at])


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"targets": ["q_proj", "gate"]}, r"training\.targets.*no linear layer 'gate'; it has down_proj, gate_proj"),
        ({"rank": 17}, r"training\.rank: 17 is more than layer .*k_proj has \(32 x 16\)"),
        ({"max_length": 5}, r"training\.max_length: none of 11 conversations"),
    ],
)
def test_one_that_cannot_begin_says_why_and_the_others_learn(
    resident: Resident, settings: dict[str, Any], said: str
) -> None:
    heard = Heard()
    train_all(resident, [job("bad", **settings), job("good", epochs=1)], heard, most=2)
    assert list(heard.trained) == ["good"]
    with pytest.raises(WarmthError, match=said):
        raise WarmthError(heard.failures["bad"])


class Cramped(Resident):
    """Has room for so many members and no more."""

    room = 2

    def losses(self, members: Any, batches: Any) -> list[torch.Tensor]:
        if len(members) > self.room:
            raise torch.OutOfMemoryError(f"{len(members)} members")
        return super().losses(members, batches)


def test_where_there_is_no_room_fewer_learn_at_once_and_none_is_lost(
    base: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Width, "_judge", lambda self, _: setattr(self, "_trying", 4))
    cramped, heard, whole = Cramped(base), Heard(), Heard()
    jobs = [job(str(seed), seed) for seed in range(5)]
    train_all(cramped, jobs, heard, most=4)
    train_all(Resident(base), jobs, whole, most=1)
    assert all(torch.equal(heard.weights[at], weights) for at, weights in whole.weights.items())
    cramped.room = 0
    lost = Heard()
    train_all(cramped, jobs[:1], lost, most=4)
    assert "training.max_length" in lost.failures["0"]


def told(width: Width, seconds: dict[int, float], members: int = 99) -> list[int]:
    tried = []
    for _ in range(7 * SAMPLES):
        now = width.now(members)
        tried.append(now)
        width.tell(now, seconds[now], 1)
    return [width for width, _ in itertools.groupby(tried)]


def test_the_width_is_the_best_that_was_tried() -> None:
    assert told(Width(16), {1: 1.0, 2: 0.6, 4: 0.5, 8: 0.51, 16: 0.3}) == [1, 2, 4, 8, 16]
    assert told(Width(16), {1: 1.0, 2: 0.6, 4: 0.5, 8: 0.6}) == [1, 2, 4, 8, 4]
    found = Width(16)
    told(found, {1: 1.0, 2: 0.6, 4: 0.5, 8: 0.6})
    assert found.now(99) == 4
    assert found.now(3) == 3
    assert told(Width(16), {1: 1.0, 2: 1.1}) == [1, 2, 1]
    assert told(Width(4), {1: 1.0, 2: 0.97, 4: 0.96}) == [1, 2, 4, 1]
    assert told(Width(1), {1: 1.0}) == [1]
    assert told(Width(2), {1: 1.0, 2: 0.5}) == [1, 2]


def test_collated_conversations_know_what_is_learnt(resident: Resident) -> None:
    examples = [encode(resident.tokenizer, each, 1024) for each in UNEVEN[-2:]]
    batch = collate(examples)
    assert [batch.tokens[place + 1].item() for place in batch.learnt] == batch.targets.tolist()
    assert resident.tokenizer.decode(batch.targets[-4:]) == "No.<|end|>"
    assert batch.positions.tolist() == [*range(batch.lengths[0]), *range(batch.lengths[1])]
