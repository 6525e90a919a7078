"""Adapters on disk: a name never means other bytes, nothing outside the folder is opened, what is unfit is refused."""

import asyncio
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import tiny
from faults import settings, tensors
from safetensors.torch import save_file

from orchestrator import engine_folders
from orchestrator.engine import Request, RequestError, UnknownModel
from orchestrator.engine_folders import CONFIG, WEIGHTS
from orchestrator.engine_transformers import TransformersEngine


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("adapters")
    tiny.tiny_adapter(folder / "adapters" / "good", tiny.tiny_model(folder / "base", 0), 0)
    return folder


@pytest.fixture(scope="module")
def good(folder: Path) -> Path:
    (found,) = (folder / "adapters").glob("good-*")
    return found


@pytest.fixture(scope="module")
def engine(folder: Path) -> Iterator[TransformersEngine]:
    engine = TransformersEngine(str(folder / "base"), str(folder / "adapters"), rows=4)
    yield engine
    engine.close()


def ask(adapter: str | None) -> Request:
    return Request(adapter, prompt="warm?", temperature=0, max_tokens=4)


def truncate(adapter: Path) -> None:
    (adapter / WEIGHTS).write_bytes((adapter / WEIGHTS).read_bytes()[:-100])


PLANTED = [
    ("dora", settings(use_dora=True), "use_dora cannot be"),
    ("bias", settings(bias="all"), "bias cannot be"),
    ("prompt", settings(peft_type="PROMPT_TUNING"), "peft_type PROMPT_TUNING"),
    ("rank", settings(r=8), r"not of rank \[8\]"),
    ("half", tensors(lambda name, each: (name, each[:2] if "lora_A" in name else each[:, :2])), r"not of rank \[4\]"),
    ("nan", tensors(lambda name, each: (name, each * float("nan"))), "no number"),
    ("truncated", truncate, "damaged"),
    ("module", tensors(lambda name, each: (name.replace("q_proj", "qq"), each)), "no linear layer"),
    ("prefix", tensors(lambda name, each: (f"module.{name}", each)), "not a LoRA weight"),
    ("empty", lambda adapter: save_file({}, adapter / WEIGHTS), "no weights"),
]


@pytest.mark.parametrize(("name", "plant", "says"), PLANTED, ids=[name for name, *_ in PLANTED])
async def test_an_unfit_adapter_is_refused_and_the_others_are_served(
    engine: TransformersEngine, good: Path, name: str, plant: Callable[[Path], None], says: str
) -> None:
    before = await engine.generate(ask(good.name))
    planted = shutil.copytree(good, good.with_name(name))
    plant(planted)
    with pytest.raises(RequestError, match=says):
        await engine.generate(ask(tiny.filed(planted).name))
    assert await engine.generate(ask(good.name)) == before


@pytest.mark.parametrize("plant", [settings(lora_alpha=9), truncate, tensors(lambda name, each: (name, 2 * each))])
async def test_other_bytes_under_a_name_are_refused(
    engine: TransformersEngine, good: Path, plant: Callable[[Path], None]
) -> None:
    stale = shutil.copytree(good, good.with_name(f"stale-{good.name[-12:]}"), dirs_exist_ok=True)
    plant(stale)
    with pytest.raises(RequestError, match=r"other bytes than its name says.*delete its folder and run again"):
        await engine.generate(ask(stale.name))


async def test_an_adapter_of_another_base_is_none_of_this_one_s(
    engine: TransformersEngine, good: Path, folder: Path
) -> None:
    other = tiny.tiny_adapter(good.with_name("other"), tiny.tiny_model(folder / "another", 1), 0)
    with pytest.raises(UnknownModel):
        await engine.generate(ask(other.name))
    assert not engine.has(other.name)


@pytest.mark.parametrize("missing", [CONFIG, WEIGHTS])
async def test_an_adapter_that_is_not_all_there_is_unknown(
    engine: TransformersEngine, good: Path, missing: str
) -> None:
    part = shutil.copytree(good, good.with_name(f"part-{good.name[-12:]}"), dirs_exist_ok=True)
    (part / missing).unlink()
    with pytest.raises(UnknownModel):
        await engine.generate(ask(part.name))


async def test_the_base_alone_is_answered_after_many_adapters(engine: TransformersEngine, good: Path) -> None:
    before = await engine.generate(ask(None))
    names = []
    for alpha in range(1, 7):
        copy = shutil.copytree(good, good.with_name(f"alpha{alpha}"))
        settings(lora_alpha=alpha)(copy)
        names.append(tiny.filed(copy).name)
    assert all(await asyncio.gather(*(engine.generate(ask(name)) for name in names)))
    assert await engine.generate(ask(None)) == before


def test_only_names_with_a_digest_are_names(good: Path) -> None:
    root, name = str(good.parent), good.name
    assert engine_folders.folder_of(root, name) == good
    paths = [f"../adapters/{name}", f"./{name}", str(good), f"{name}/", f"..-{name[-12:]}", f"x/../{name}"]
    for wrong in (*paths, "", ".", "..", "good", f"{name}\0", f"{name}\n", f"..\\{name}", f"good-{'g' * 12}"):
        with pytest.raises(UnknownModel):
            engine_folders.folder_of(root, wrong)


async def test_no_link_is_followed(engine: TransformersEngine, good: Path, tmp_path: Path, folder: Path) -> None:
    outside = tiny.tiny_adapter(tmp_path / "outside", folder / "base", 7)
    link = good.with_name(outside.name)
    link.symlink_to(outside)
    assert outside.name not in dict(engine_folders.adapters_in(str(good.parent)))
    with pytest.raises(UnknownModel):
        await engine.generate(ask(outside.name))
    link.unlink()
    link.mkdir()
    for name in (CONFIG, WEIGHTS):
        (link / name).symlink_to(outside / name)
    with pytest.raises(RequestError):
        await engine.generate(ask(outside.name))
    with pytest.raises(RequestError, match="cannot be read"):
        engine_folders.read(link)


def test_the_digest_is_of_what_is_computed_wherever_the_base_lies(good: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(good, tmp_path / good.name)
    config = json.loads((copy / CONFIG).read_text())
    config |= {"base_model_name_or_path": "/elsewhere", "target_modules": config["target_modules"][::-1]}
    (copy / CONFIG).write_text(json.dumps(config))
    assert engine_folders.digest(copy) == engine_folders.digest(good)
    engine_folders.read(copy)
    settings(lora_alpha=9)(copy)
    assert engine_folders.digest(copy) != engine_folders.digest(good)
