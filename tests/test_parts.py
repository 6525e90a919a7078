"""A batch that is divided, among processes and into passes: the gradient, and so the adapter, of the whole."""

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from test_pack import JOBS, UNEVEN, Heard, job
from test_training_fails import planned
from tiny import tiny_model
from torch import multiprocessing

from orchestrator import trials
from orchestrator.errors import WarmthError
from orchestrator.pack import Resident, spare_memory
from orchestrator.settings_subjects import Precision
from orchestrator.sweep_filing import Filing, Together
from orchestrator.train import train_all
from orchestrator.train_data import collate, encode
from orchestrator.train_parts import divided
from orchestrator.train_ranks import Ranks

NEAR = 1e-5
"""How far weights (of about 0.2) may be apart after all steps, in single precision; seen: 3e-7."""


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tiny_model(tmp_path_factory.mktemp("parted"), seed=0))


@pytest.fixture(scope="module")
def whole(base: str) -> Heard:
    heard = Heard()
    train_all(Resident(base), JOBS, heard, most=1)
    return heard


def strays(heard: Heard, whole: Heard) -> float:
    """The largest difference of any weight and of any loss."""
    assert heard.weights.keys() == whole.weights.keys()
    weights = max(float((heard.weights[at] - each).abs().max()) for at, each in whole.weights.items())
    losses = (zip(heard.trained[name].losses, each.losses, strict=True) for name, each in whole.trained.items())
    return max(weights, *(abs(one - other) for one, other in itertools.chain.from_iterable(losses)))


@pytest.mark.parametrize(
    ("lengths", "processes", "at_once", "expected"),
    [
        ([5, 5, 5, 5], 1, None, [[range(4)]]),
        ([5, 5, 5, 5], 2, None, [[range(2), range(2, 4)]]),
        ([5, 5, 5, 5], 1, 10, [[range(2)], [range(2, 4)]]),
        ([5, 5, 5, 5], 1, 1, [[range(1)], [range(1, 2)], [range(2, 3)], [range(3, 4)]]),
        ([9, 1, 1, 1], 2, None, [[range(1), range(1, 4)]]),
        ([9, 1, 1, 1], 2, 2, [[range(1), range(1, 3)], [range(0), range(3, 4)]]),
        ([7], 3, None, [[range(0), range(1), range(1, 1)]]),
    ],
)
def test_every_conversation_is_taken_once(
    lengths: list[int], processes: int, at_once: int | None, expected: list[list[range]]
) -> None:
    found = divided(lengths, processes, at_once)
    assert [list(each) for each in found] == expected
    taken = [place for passed in found for chosen in passed for place in chosen]
    assert sorted(taken) == list(range(len(lengths)))


def test_the_parts_of_a_batch_add_up_to_it(base: str) -> None:
    resident = Resident(base)
    batch = collate([encode(resident.tokenizer, each, 1024) for each in UNEVEN[-4:]])
    parts = [batch.part(chosen) for chosen in (range(1), range(1, 4), range(0))]
    assert sum(part.share for part in parts) == pytest.approx(1)
    assert parts[2].share == 0 < len(parts[2].tokens)
    assert torch.cat([part.targets for part in parts[:2]]).equal(batch.targets)
    assert [part.begin for part in parts] == [0, batch.lengths[0], 0]


@pytest.mark.parametrize("at_once", [1, 70])
def test_passes_that_fit_into_memory_give_the_adapters_of_whole_batches(base: str, whole: Heard, at_once: int) -> None:
    parted, together = Heard(), Heard()
    train_all(Resident(base), JOBS, parted, most=1, at_once=at_once)
    assert 0 < strays(parted, whole) <= NEAR
    train_all(Resident(base), JOBS, together, most=8, at_once=at_once)
    assert strays(together, parted) == 0


class Narrow(Resident):
    """Has memory for so many tokens at once and no more."""

    room = 120

    def losses(self, members: Any, batches: Any) -> list[torch.Tensor]:
        if sum(len(batch.tokens) for batch in batches) > self.room:
            raise torch.OutOfMemoryError("no room")
        return super().losses(members, batches)


def test_where_a_batch_finds_no_memory_it_is_taken_in_smaller_parts_and_that_is_said(base: str, whole: Heard) -> None:
    narrow, heard = Narrow(base), Heard()
    train_all(narrow, [JOBS[0], JOBS[1]], heard, most=2)
    assert all((heard.weights[at] - whole.weights[at]).abs().max() <= NEAR for at in heard.weights)
    assert set(heard.trained) == {"plain", "slow"}
    assert heard.trained["plain"].retried >= 1
    assert whole.trained["plain"].retried == 0
    narrow.room, lost = 20, Heard()
    train_all(narrow, [JOBS[0]], lost, most=1)
    with pytest.raises(WarmthError, match=r"no memory to learn from \d+ tokens .*training\.max_length"):
        raise WarmthError(lost.failures["plain"])


def in_processes(count: int, folder: Path, work: Callable[[Ranks], object]) -> list[Any]:
    """What processes in one process group come to. They are copies of this one, which has all loaded."""
    folder.mkdir(exist_ok=True)
    meet = folder / "meet"
    context = multiprocessing.start_processes(
        _process, (count, str(meet), work, folder), nprocs=count, start_method="fork", join=False
    )
    assert context is not None
    while not context.join():
        pass
    return [torch.load(folder / f"{rank}.pt", weights_only=False) for rank in range(count)]


def _process(rank: int, count: int, meet: str, work: Callable[[Ranks], object], folder: Path) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{meet}", rank=rank, world_size=count)
    torch.save(work(Ranks.here()), folder / f"{rank}.pt")
    dist.destroy_process_group()


@pytest.mark.parametrize(("spared", "at_once"), [(False, None), (True, 70)])
def test_two_processes_that_hold_half_the_base_each_give_the_adapters_of_one(
    base: str, whole: Heard, tmp_path: Path, spared: bool, at_once: int | None
) -> None:
    def work(ranks: Ranks) -> tuple[Heard, int, int]:
        resident, heard = Resident(base, ranks=ranks), Heard()
        if spared:
            spare_memory(resident.model)
        train_all(resident, JOBS, heard, most=8, at_once=at_once)
        weights = list(resident.model.parameters())
        return heard, sum(each.to_local().numel() for each in weights), sum(each.numel() for each in weights)

    (first, held, of), (second, also, _) = in_processes(2, tmp_path, work)
    assert 0 < strays(first, whole) <= NEAR
    assert strays(second, first) == 0
    assert held + also == of
    assert max(held, also) < 0.6 * of


def test_a_trial_that_cannot_begin_or_diverges_leaves_all_processes_alike(base: str, tmp_path: Path) -> None:
    wrong = [job("rank", rank=17), job("wild", 7, learning_rate=1e30, epochs=4), JOBS[3]]

    def work(ranks: Ranks) -> Heard:
        heard = Heard()
        train_all(Resident(base, ranks=ranks), wrong, heard, most=1)
        return heard

    for heard in in_processes(2, tmp_path, work):
        assert list(heard.failures) == ["rank", "wild"]
        assert list(heard.trained) == ["short"]


def test_what_only_the_first_process_can_say_is_heard_by_all(tmp_path: Path) -> None:
    def work(ranks: Ranks) -> str:
        def full() -> None:
            raise WarmthError(f"{ranks.rank}: no space")

        with pytest.raises(WarmthError) as caught:
            ranks.first(full)
        return str(caught.value)

    assert in_processes(2, tmp_path, work) == ["0: no space"] * 2


class Stopped(Exception):
    """Somebody has stopped it."""


def test_processes_that_were_stopped_go_on_to_what_one_process_files(base: str, tmp_path: Path) -> None:
    plan, store = planned(tmp_path, 1)
    (trial,) = plan.trials
    given, alone = job(trial.name, trial.seed), Heard()

    def work(ranks: Ranks, report: Callable[[Any], None]) -> None:
        filing = Filing(plan, store, {trial.name: trial}, lambda _: None)
        train_all(Resident(base, ranks=ranks), [given], Together(filing, ranks, report), most=1)

    def stop(_: Any) -> None:
        raise Stopped

    def begin(ranks: Ranks) -> None:
        with pytest.raises(Stopped):
            work(ranks, stop)

    in_processes(2, tmp_path / "first", begin)
    assert {"left-off-3.safetensors", "left-off.json"} <= set(store.names("trials", trial.name))
    in_processes(2, tmp_path / "again", lambda ranks: work(ranks, lambda _: None))
    assert store.names("trials", trial.name) == ["trial.json"]
    train_all(Resident(base), [given], alone, most=1)
    found = trials.record(store, trial)
    assert found is not None
    assert [kept["epoch"] for kept in found["checkpoints"]] == [1, 2]
    assert found["losses"] == pytest.approx(alone.trained[trial.name].losses, abs=NEAR)
    assert len(store.names("adapters")) == 2


def test_quantised_weights_are_not_parted(base: str, tmp_path: Path) -> None:
    def work(ranks: Ranks) -> str:
        with pytest.raises(WarmthError) as caught:
            Resident(base, Precision("bfloat16", "nf4"), ranks)
        return str(caught.value)

    assert all("resources.gpus_per_trial to 1" in said for said in in_processes(2, tmp_path, work))
