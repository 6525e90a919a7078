"""Which adapters are in vLLM's memory, which engine is chosen, and that a child does not outlive its parent."""

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
import tiny
import torch
from safetensors.torch import save_file

from orchestrator import engine_choice
from orchestrator.engine import RequestError
from orchestrator.engine_lora import Adapter, load
from orchestrator.engine_vllm_room import Room, needed
from orchestrator.engine_vllm_seats import Seats
from orchestrator.errors import WarmthError
from orchestrator.settings_subjects import FULL, Precision


class Slots:
    """A memory of adapters: says what lies in it, what came and the most that it ever held."""

    def __init__(self, lost: tuple[str, ...] = ()) -> None:
        self.held: list[str] = []
        self.came: list[str] = []
        self.most = 0
        self._lost = lost

    async def load(self, name: str) -> str:
        await asyncio.sleep(0)
        if name in self._lost:
            raise WarmthError(f"{name} is damaged")
        self.held.append(name)
        self.came.append(name)
        self.most = max(self.most, len(self.held))
        return name

    async def unload(self, name: str) -> None:
        await asyncio.sleep(0)
        self.held.remove(name)


async def use(seats: Seats, name: str, turns: int = 3) -> str:
    async with seats.taken(name) as found:
        for _ in range(turns):
            await asyncio.sleep(0)
        return str(found)


async def test_no_more_adapters_than_seats_and_everyone_gets_their_own() -> None:
    slots = Slots()
    seats = Seats(3, slots.load, slots.unload)
    wanted = [f"a{index % 7}" for index in range(70)]
    assert await asyncio.gather(*(use(seats, name) for name in wanted)) == wanted
    assert slots.most == 3


async def test_an_adapter_that_is_needed_stays_and_the_least_recent_leaves() -> None:
    slots = Slots()
    seats = Seats(2, slots.load, slots.unload)
    async with seats.taken("kept"):
        for name in ("a", "b", "c"):
            await use(seats, name)
        assert slots.held == ["kept", "c"]
    await use(seats, "kept")
    await use(seats, "d")
    assert sorted(slots.held) == ["d", "kept"]
    assert slots.came == ["kept", "a", "b", "c", "d"]


async def test_who_waits_for_a_seat_is_not_overtaken_for_ever() -> None:
    slots = Slots()
    seats = Seats(1, slots.load, slots.unload)
    order: list[str] = []

    async def note(name: str) -> None:
        await use(seats, name)
        order.append(name)

    await asyncio.gather(*(note(name) for name in ("a", "a", "b", "a", "a")))
    assert order == ["a", "a", "b", "a", "a"]


async def test_a_damaged_adapter_is_refused_each_time_and_takes_no_seat() -> None:
    slots = Slots(lost=("bad",))
    seats = Seats(1, slots.load, slots.unload)
    for _ in range(2):
        with pytest.raises(WarmthError, match="damaged"):
            await use(seats, "bad")
    assert await use(seats, "good") == "good"


async def test_a_request_that_is_given_up_leaves_nothing_behind() -> None:
    slots = Slots()
    seats = Seats(1, slots.load, slots.unload)
    given_up = asyncio.ensure_future(use(seats, "a"))
    await asyncio.sleep(0)
    given_up.cancel()
    assert await use(seats, "b") == "b"
    assert slots.held == ["b"]
    assert slots.most == 1


def test_the_engine_is_chosen_by_what_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_choice, "installed", lambda: True)
    assert engine_choice.chosen(None, 0, [FULL]) == "transformers"
    assert engine_choice.chosen(None, 1, [FULL]) == "vllm"
    assert engine_choice.chosen("vllm", 0, [FULL]) == "vllm"
    with pytest.raises(WarmthError, match="gpus_per_replica"):
        engine_choice.chosen("transformers", 2, [FULL])
    packed = Precision("bfloat16", "nf4")
    assert engine_choice.chosen(None, 1, [FULL, packed]) == "transformers"
    with pytest.raises(WarmthError, match=r"resources\.engine.*quantization"):
        engine_choice.chosen("vllm", 1, [packed])
    monkeypatch.setattr(engine_choice, "installed", lambda: False)
    assert engine_choice.chosen(None, 1, [FULL]) == "transformers"
    with pytest.raises(WarmthError, match=r"resources\.engine.*make setup-vllm"):
        engine_choice.chosen("vllm", 0, [FULL])


def adapter(folder: Path, layers: dict[str, int]) -> Path:
    """The adapter of a model of 4 dimensions that changes these layers, each by the given rank."""
    folder.mkdir()
    weights = {
        f"base_model.model.model.layers.0.{name}.lora_{side}.weight": torch.zeros(
            (rank, 4) if side == "A" else (4, rank)
        )
        for name, rank in layers.items()
        for side in "AB"
    }
    save_file(weights, folder / "adapter_model.safetensors")
    config = {"base_model_name_or_path": "base", "peft_type": "LORA", "r": max(layers.values()), "lora_alpha": 8}
    config["rank_pattern"] = layers
    (folder / "adapter_config.json").write_text(json.dumps(config))
    return tiny.filed(folder)


def loaded(folder: Path) -> Adapter:
    known = {f"model.layers.0.{name}": (4, 4) for name in ("mlp.up_proj", "mlp.down_proj", "attention.wq", "lm_head")}
    return load(folder, "base", known, torch.float32, "cpu")


def test_there_is_room_for_the_adapters_that_are_there_and_others_are_refused(tmp_path: Path) -> None:
    assert needed("base", str(tmp_path)) == Room()
    small = adapter(tmp_path / "small", {"mlp.up_proj": 4})
    adapter(tmp_path / "large", {"attention.wq": 20})
    room = needed("base", str(tmp_path))
    assert room == Room(32, frozenset({"up_proj", "wq"}))
    assert needed("another", str(tmp_path)) == Room()
    room.check("small", loaded(small))
    for name, layers, says in (
        ("late", {"mlp.down_proj": 4}, "start it again"),
        ("larger", {"mlp.up_proj": 64}, "start it again"),
        ("last", {"lm_head": 4}, "layers lm_head"),
        ("uneven", {"mlp.up_proj": 4, "attention.wq": 2}, r"ranks \[2, 4\]"),
    ):
        with pytest.raises(RequestError, match=says):
            room.check(name, loaded(adapter(tmp_path / name, layers)))


PARENT = """
import multiprocessing, sys, time
from orchestrator import engine_vllm_child

def child(pipe):
    engine_vllm_child.follow_the_parent()
    pipe.send(multiprocessing.current_process().pid)
    time.sleep(600)

if __name__ == "__main__":
    here, there = multiprocessing.get_context("spawn").Pipe()
    multiprocessing.get_context("spawn").Process(target=child, args=(there,)).start()
    print(here.recv(), flush=True)
    time.sleep(600)
"""


def test_a_child_dies_with_its_parent_however_it_dies(tmp_path: Path) -> None:
    script = tmp_path / "parent.py"
    script.write_text(PARENT)
    path = os.pathsep.join(sys.path)
    command = [sys.executable, str(script)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": path}) as parent:
        assert parent.stdout
        child = psutil.Process(int(parent.stdout.readline()))
        assert child.is_running()
        parent.kill()
        gone, alive = psutil.wait_procs([child], timeout=30)
        assert (gone, alive) == ([child], [])
