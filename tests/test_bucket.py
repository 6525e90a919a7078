"""Adapters in a bucket, read by pyarrow's own S3 from this machine: copied when needed, checked, never trusted."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import bucket
import pytest
import tiny

from orchestrator import cache, engine_folders
from orchestrator.engine import Request, RequestError, UnknownModel
from orchestrator.engine_folders import CONFIG, WEIGHTS
from orchestrator.engine_transformers import TransformersEngine
from orchestrator.errors import WarmthError


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bucket")
    base = tiny.tiny_model(folder / "base", 0)
    for seed, name in enumerate(("warm", "cold", "broken")):
        tiny.tiny_adapter(folder / "run" / "adapters" / name, base, seed)
    (broken,) = (folder / "run" / "adapters").glob("broken-*")
    (broken / WEIGHTS).write_bytes((broken / WEIGHTS).read_bytes()[:-1] + b"x")
    half = folder / "run" / "adapters" / f"half-{'0' * 12}"
    half.mkdir()
    shutil.copy(broken / CONFIG, half)
    (folder / "run" / "adapters" / "readme.txt").write_text("not an adapter")
    return folder


@pytest.fixture(scope="module")
def there(folder: Path) -> Iterator[tuple[str, list[str]]]:
    with bucket.bucket(folder) as (uri, asked):
        yield uri.replace("@data", "@data/run/adapters"), asked


def names(folder: Path) -> dict[str, str]:
    found = sorted((folder / "run" / "adapters").glob("*-*"))
    return {each.name.rpartition("-")[0]: each.name for each in found}


def ask(adapter: str) -> Request:
    return Request(adapter, prompt="warm?", temperature=0, max_tokens=8)


def test_a_bucket_lists_its_whole_adapters_and_their_base(folder: Path, there: tuple[str, list[str]]) -> None:
    known = names(folder)
    base = str(folder / "base")
    assert dict(engine_folders.adapters_in(there[0])) == {known[name]: base for name in ("broken", "cold", "warm")}
    assert dict(engine_folders.adapters_in(there[0].replace("/run/", "/empty/"))) == {}


async def test_an_engine_answers_from_a_bucket_as_from_a_folder(folder: Path, there: tuple[str, list[str]]) -> None:
    uri, asked = there
    near = TransformersEngine(str(folder / "base"), str(folder / "run" / "adapters"), rows=4)
    far = TransformersEngine(str(folder / "base"), uri, rows=4)
    for name in ("warm", "cold"):
        adapter = names(folder)[name]
        assert far.has(adapter)
        assert await far.generate(ask(adapter)) == await near.generate(ask(adapter))
        copy = engine_folders.folder_of(uri, adapter)
        assert cache.folder() in copy.parents
        assert copy.parent.stat().st_mode & 0o077 == 0
        assert engine_folders.digest(copy).startswith(adapter[-12:])
    before = len(asked)
    assert engine_folders.folder_of(uri, names(folder)["warm"]).is_dir()
    assert len(asked) == before
    for engine in (near, far):
        engine.close()


def test_other_bytes_than_a_name_says_are_refused_and_not_kept(folder: Path, there: tuple[str, list[str]]) -> None:
    broken = names(folder)["broken"]
    for _ in range(2):
        with pytest.raises(RequestError, match="holds other bytes than its name says"):
            engine_folders.folder_of(there[0], broken)
    assert not list(cache.folder().rglob(broken))


def test_what_is_not_there_is_an_unknown_model(folder: Path, there: tuple[str, list[str]]) -> None:
    for name in (names(folder)["half"], "gone-0123456789ab"):
        assert engine_folders.base_named(there[0], name) is None
        with pytest.raises(UnknownModel):
            engine_folders.folder_of(there[0], name)


def test_no_name_leads_elsewhere_and_none_is_asked_for(there: tuple[str, list[str]]) -> None:
    uri, asked = there
    before = len(asked)
    for name in ("../base", "..", "", "/etc/passwd", "x/../warm-0123456789ab", "warm", "warm-0123456789ab/"):
        assert engine_folders.base_named(uri, name) is None
        with pytest.raises(UnknownModel):
            engine_folders.folder_of(uri, name)
    assert len(asked) == before


def test_a_file_uri_is_a_folder_and_links_in_it_are_not_followed(folder: Path, tmp_path: Path) -> None:
    uri, known = (folder / "run" / "adapters").as_uri(), names(folder)
    assert engine_folders.folder_of(uri, known["warm"]) == folder / "run" / "adapters" / known["warm"]
    (tmp_path / known["warm"]).symlink_to(folder / "run" / "adapters" / known["warm"])
    assert dict(engine_folders.adapters_in(tmp_path.as_uri())) == {}
    with pytest.raises(UnknownModel):
        engine_folders.folder_of(tmp_path.as_uri(), known["warm"])


@pytest.mark.parametrize("uri", ["s4://key:planted-secret@data/x", "s3://key:planted-secret@/x?scheme=nothing"])
def test_a_place_that_cannot_be_is_said_without_its_secret(uri: str) -> None:
    with pytest.raises(WarmthError, match=r"s[34]://") as refused:
        list(engine_folders.adapters_in(uri))
    assert bucket.SECRET not in str(refused.value)
