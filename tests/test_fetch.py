"""Runs come home whole or not at all, from a folder and over ssh, and nothing that was made here is lost for them."""

import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import remote
from click.testing import CliRunner

from orchestrator import Study, fetch, fetch_copy, head, holder
from orchestrator.__main__ import main
from orchestrator.errors import WarmthError
from orchestrator.findings import Findings
from orchestrator.head import Head
from orchestrator.store import Store

FILES = {
    "study.json": "{}",
    "replies/tiny/lab_facts.arrow": "rows",
    "adapters/tiny-warm-0123/adapter_model.safetensors": "weights",
    "report/index.html": "<h1>Found</h1>",
}
HIDDEN = {".lock": "", ".claims/one": "", "replies/.writing-1/half.arrow": "half", "adapters/.part": "half"}


def made(folder: Path, files: dict[str, str]) -> Path:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content)
    return folder


def held(folder: Path) -> dict[str, str]:
    there = {str(file.relative_to(folder)): file.read_text() for file in folder.rglob("*") if file.is_file()}
    there.pop(fetch.MARK, None)
    return there


@pytest.fixture
def there(tmp_path: Path) -> Path:
    """A run as it lies on a cluster, with what is not to come."""
    folder = made(tmp_path / "there" / "lab", FILES | HIDDEN)
    made(tmp_path / "there", {"secret": "not the run's", "other/study.json": "{}"})
    (folder / "link").symlink_to(tmp_path / "there" / "secret")
    (folder / "folder").symlink_to(tmp_path / "there" / "other")
    os.mkfifo(folder / "pipe")
    return folder


@pytest.fixture(params=["folder", "ssh"])
def way(request: pytest.FixtureRequest) -> Head | None:
    """How a run comes: copied, or over ssh."""
    return request.getfixturevalue("server") if request.param == "ssh" else None


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The file of a cluster whose head lets us in."""
    if remote.WHY_NOT:
        pytest.skip(remote.WHY_NOT)
    with remote.cluster_file(tmp_path_factory.mktemp("server")) as file:
        yield file


@pytest.fixture(scope="module")
def server(cluster: Path) -> Head:
    return head.of(cluster)


def test_what_comes_are_the_run_s_own_files_and_no_other(there: Path, tmp_path: Path, way: Head | None) -> None:
    came = fetch.fetch(str(there), tmp_path / "runs", way)
    assert (came.folder, came.working) == (tmp_path / "runs" / "lab", None)
    assert held(came.folder) == FILES
    assert came.report == came.folder / "report" / "index.html"
    assert not any(file.is_symlink() for file in came.folder.rglob("*"))


def test_fetching_again_brings_what_is_new_and_takes_what_is_gone(
    there: Path, tmp_path: Path, way: Head | None
) -> None:
    first = fetch.fetch(str(there), tmp_path / "runs", way).folder
    same = (first / "study.json").stat()
    made(there, {"replies/tiny/lab_facts.arrow": "more rows", "scores/rule/tiny.arrow": "verdicts"})
    (there / "report" / "index.html").unlink()
    second = fetch.fetch(str(there), tmp_path / "runs", way)
    assert held(second.folder) == {
        **{name: content for name, content in FILES.items() if name != "report/index.html"},
        "replies/tiny/lab_facts.arrow": "more rows",
        "scores/rule/tiny.arrow": "verdicts",
    }
    assert second.report is None
    assert (second.folder / "study.json").stat().st_ino == same.st_ino
    assert [each.name for each in (tmp_path / "runs").iterdir() if not each.name.endswith(".lock")] == ["lab"]


def test_a_fetch_that_was_cut_off_goes_on_and_shows_nothing_before_it_is_whole(
    there: Path, tmp_path: Path, way: Head | None
) -> None:
    aside = tmp_path / "runs" / f"{fetch.ASIDE}lab"
    made(aside, {"gone/since.arrow": "was there", "adapters/.tiny.X1": "half"})
    shutil.copytree(there / "replies", aside / "replies", ignore=shutil.ignore_patterns(".*"))
    came_before = (aside / "replies" / "tiny" / "lab_facts.arrow").stat().st_ino
    with pytest.raises(WarmthError, match=r"no run lies there|no such folder"):
        fetch.fetch(str(tmp_path / "nowhere" / "lab"), tmp_path / "runs", way)
    assert aside.is_dir()
    assert not (tmp_path / "runs" / "lab").exists()
    came = fetch.fetch(str(there), tmp_path / "runs", way)
    assert held(came.folder) == FILES
    assert (came.folder / "replies" / "tiny" / "lab_facts.arrow").stat().st_ino == came_before


def test_a_kill_between_the_renames_is_put_right(there: Path, tmp_path: Path) -> None:
    first = fetch.fetch(str(there), tmp_path / "runs").folder
    first.rename(tmp_path / "runs" / f"{fetch.OLD}lab")
    made(tmp_path / "runs" / f"{fetch.ASIDE}lab", FILES)
    fetch.fetch(str(there), tmp_path / "runs")
    assert held(tmp_path / "runs" / "lab") == FILES
    assert not list((tmp_path / "runs").glob(f"{fetch.OLD}*"))


def test_what_was_made_here_stays(there: Path, tmp_path: Path) -> None:
    own = made(tmp_path / "own" / "lab", FILES)
    with pytest.raises(WarmthError, match="was not fetched, and stays"):
        fetch.fetch(str(there), tmp_path / "own")
    assert held(own) == FILES
    came = fetch.fetch(str(there), tmp_path / "runs").folder
    made(came, {"report/index.html": "made again here"})
    fetch.fetch(str(there), tmp_path / "runs")
    made(came, {"labels.arrow": "people's marks"})
    with pytest.raises(WarmthError, match=r"labels\.arrow: this has come or changed here"):
        fetch.fetch(str(there), tmp_path / "runs")
    assert (came / "labels.arrow").read_text() == "people's marks"


def test_a_run_that_goes_on_there_is_said(there: Path, tmp_path: Path, way: Head | None) -> None:
    with holder.held(there / ".holder"):
        came = fetch.fetch(str(there), tmp_path / "runs", way)
    assert came.working == holder.me()
    assert held(came.folder) == FILES


@pytest.mark.parametrize("run", ["..", "there/..", "-rf", "there/.hidden", "", "a b", "$(id)"])
def test_a_name_is_no_path_and_no_option(run: str, tmp_path: Path) -> None:
    with pytest.raises(WarmthError, match="not a run; name it"):
        fetch.fetch(run, tmp_path)


def test_what_is_no_run_is_refused_and_leaves_nothing(tmp_path: Path, way: Head | None) -> None:
    other = made(tmp_path / "there" / "photos", {"one.jpg": "x"})
    for run in (other, tmp_path / "there" / "gone"):
        with pytest.raises(WarmthError, match=r"no run lies there|no such folder"):
            fetch.fetch(str(run), tmp_path / "runs", way)
    assert [each.name for each in (tmp_path / "runs").iterdir() if not each.name.endswith(".lock")] == []


def test_a_head_that_cannot_be_reached_is_said_and_its_key_may_not_change(
    there: Path, server: Head, tmp_path: Path
) -> None:
    shut = replace(server, proxy="false")
    with pytest.raises(WarmthError, match=r"the connection failed or was cut .*; what came is kept"):
        fetch.fetch(str(there), tmp_path / "runs", shut)
    fetch.fetch(str(there), tmp_path / "runs", server)
    there_before = server.known.read_text()
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / "other")], check=True)
    key = (tmp_path / "other.pub").read_text().split()[:2]
    with pytest.raises(WarmthError, match="the head does not take the key"):
        fetch.fetch(str(there), tmp_path / "runs", replace(server, key=str(tmp_path / "other")))
    server.known.write_text(f"{there_before.split()[0]} {' '.join(key)}\n")
    with pytest.raises(WarmthError, match="Host key verification failed: this is another machine than before"):
        fetch.fetch(str(there), tmp_path / "runs", server)
    server.known.write_text(there_before)


def test_a_container_s_files_come_by_its_own_rsync() -> None:
    command = fetch_copy.rsync(Head("c", "10.0.0.1", container="ray"), "warmth/runs/lab", Path("a"), Path("b"))
    (inside,) = (part for part in command if part.startswith("--rsync-path="))
    assert shlex.split(inside.partition("=")[2]) == [
        *("docker", "exec", "-i", "ray", "sh", "-c", 'cd && exec rsync "$@"', "rsync")
    ]
    assert command[-2:] == ["10.0.0.1:warmth/runs/lab/", "a/"]
    assert fetch.there("lab") == "warmth/runs/lab"
    assert (fetch.there("~/mine/lab/"), fetch.there("/shared/lab")) == ("mine/lab", "/shared/lab")


@pytest.mark.parametrize(
    ("said", "mistake"),
    [
        ("[", "cannot be read as a cluster file"),
        ("- x", "it holds no settings"),
        ("provider: {type: local, head_ip: 10.0.0.1}", "'cluster_name' is missing"),
        ("{cluster_name: c, provider: {type: nowhere}}", "no head of this cluster is found .*; is it up"),
    ],
)
def test_a_cluster_file_that_leads_nowhere_is_said(said: str, mistake: str, tmp_path: Path) -> None:
    (tmp_path / "cluster.yaml").write_text(said)
    with pytest.raises(WarmthError, match=mistake):
        head.of(tmp_path / "cluster.yaml")


def test_a_fetched_run_reports_as_it_did_there(finished: tuple[Study, Findings], tmp_path: Path) -> None:
    study, findings = finished
    said = CliRunner().invoke(main, ["fetch", str(study.folder), "--out", str(tmp_path / "runs")])
    assert said.exit_code == 0, said.output
    page = tmp_path / "runs" / "mini" / "report" / "index.html"
    assert f"Report: {page}" in said.output
    assert page.read_bytes() == (study.folder / "report" / "index.html").read_bytes()
    assert Study.of(tmp_path / "runs" / "mini").report().effects.equals(findings.effects)
    assert Store(tmp_path / "runs" / "mini").glance(fetch.MARK)["from"] == str(study.folder)


def test_the_commands_in_the_readme_bring_a_run(
    there: Path, cluster: Path, tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = re.findall(
        r"^    (warmth fetch (?:lab|/mnt/shared/runs/lab) .*?)(?:  #.*)?$",
        (root / "README.md").read_text(),
        re.MULTILINE,
    )
    assert len(lines) == 2
    made(cluster.parent / "home" / "warmth" / "runs" / "lab", FILES)
    monkeypatch.chdir(tmp_path)
    shutil.copy(cluster, "cluster.yaml")
    for line in lines:
        said = CliRunner().invoke(main, shlex.split(line.replace("/mnt/shared/runs", str(there.parent)))[1:])
        assert said.exit_code == 0, said.output
        assert held(tmp_path / "runs" / "lab") == FILES
