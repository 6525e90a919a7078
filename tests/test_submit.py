"""What goes to a cluster with a study, and clusters that are not as they have to be."""

import json
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest
import ray
import remote
from click.testing import CliRunner
from mini import SETTINGS

from orchestrator import Study, submit, submit_door, submit_pack
from orchestrator.__main__ import main
from orchestrator.errors import WarmthError

TOKEN = "planted-token-0123456789"


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder as people have it: data, runs, environments, keys, and a module of their own."""
    folder = tmp_path / "work"
    for name in ("chats.json", "runs/old/study.json", ".venv/pyvenv.cfg", ".env", "weights.safetensors", "mine/own.py"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    monkeypatch.chdir(folder)
    return folder


def study(**more: Any) -> Study:
    return Study(**{**SETTINGS, "personas": ["original", "plain"], **more})


def packed(folder: Path) -> set[str]:
    there = {str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file()}
    return {name for name in there if not name.startswith(submit_pack.PROGRAM)}


@pytest.mark.usefixtures("work")
def test_the_program_the_study_and_what_it_names_go_along_and_nothing_else(tmp_path: Path, root: Path) -> None:
    named = study(data={"source": "chats.json", "chats": 48})
    submit_pack.pack(named, [Path("mine")], tmp_path / "there")
    (chats,) = (name for name in packed(tmp_path / "there") if name.startswith("files/"))
    assert packed(tmp_path / "there") == {"study.json", "mine/own.py", chats}
    assert (tmp_path / "there" / chats).read_text() == "chats.json"
    for name in ("orchestrator/run.py", "tasks/lab_facts.py", "configs/lab.yaml"):
        assert (tmp_path / "there" / name).read_bytes() == (root / name).read_bytes()
    assert not list((tmp_path / "there").rglob("__pycache__"))


@pytest.mark.usefixtures("work")
def test_it_is_the_same_study_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = study(data={"source": "chats.json", "chats": 48})
    names = [trial.name for trial in here.plan().trials]
    first, second = (submit_pack.pack(here, [], tmp_path / name) for name in ("one", "two"))
    assert first == second
    assert submit_pack.pack(study(training={**SETTINGS["training"], "seeds": [1]}), [], tmp_path / "other") != first
    monkeypatch.chdir(tmp_path / "one")
    there = Study.load("study.json")
    assert [trial.name for trial in there.plan().trials] == names
    assert there.models == here.models
    assert there.personas == here.personas


@pytest.mark.parametrize(("along", "mistake"), [("../x", "only what lies below"), ("gone", "no such file or folder")])
@pytest.mark.usefixtures("work")
def test_what_cannot_go_along_is_said(along: str, mistake: str, tmp_path: Path) -> None:
    with pytest.raises(WarmthError, match=mistake):
        submit_pack.pack(study(), [Path(along)], tmp_path / "there")


def test_too_much_for_the_job_server_is_said_before_it_is_sent(work: Path, tmp_path: Path) -> None:
    with (work / "large.csv").open("wb") as large:
        large.truncate(submit_pack.MOST)
    with pytest.raises(WarmthError, match="MiB would go along, and Ray takes 100; bring large files"):
        submit_pack.pack(study(), [Path("large.csv")], tmp_path / "there")


class Server(BaseHTTPRequestHandler):
    """Answers as a job server of Ray's does, of some version, with a token or without."""

    version, mode = ray.__version__, "token"

    def do_GET(self) -> None:
        if self.path == "/api/authentication_mode":
            self._say(200, {"authentication_mode": self.mode})
        elif self.mode == "token" and self.headers.get("Authorization") != f"Bearer {TOKEN}":
            self._say(403, {})
        elif self.path == "/api/version":
            self._say(200, {"version": "4", "ray_version": self.version, "ray_commit": "x"})
        else:
            self._say(404, {})

    def _say(self, status: int, body: Any) -> None:
        self.send_response(status)
        self.end_headers()
        self.wfile.write(json.dumps(body).encode())

    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture
def server(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[tuple[type[Server], str]]:
    """A job server, whose class says how it answers, and its address; with no token and no mode set here."""
    kind = type("Kind", (getattr(request, "param", Server),), {})
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("RAY_AUTH_MODE", submit_door.TOKEN, submit_door.TOKEN_FILE):
        monkeypatch.delenv(name, raising=False)
    with ThreadingHTTPServer(("127.0.0.1", 0), kind) as listening:
        threading.Thread(target=listening.serve_forever, daemon=True).start()
        yield kind, f"http://127.0.0.1:{listening.server_address[1]}"
        listening.shutdown()


def test_a_cluster_s_token_is_shown_from_where_ray_keeps_it(
    server: tuple[type[Server], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, address = server
    monkeypatch.setenv("RAY_ADDRESS", "http://127.0.0.1:1")
    with pytest.raises(WarmthError, match=r"wants its token, and there is none here; put it into ~/\.ray/auth_token"):
        submit_door.client(address)
    (tmp_path / ".ray").mkdir()
    (tmp_path / ".ray" / "auth_token").write_text("another")
    with pytest.raises(WarmthError, match=r"does not take the token that is here \(.*/\.ray/auth_token\)") as refused:
        submit_door.client(address)
    assert "another" not in str(refused.value)
    (tmp_path / "given").write_text(f"{TOKEN}\n")
    monkeypatch.setenv(submit_door.TOKEN_FILE, str(tmp_path / "given"))
    submit_door.client(address)
    monkeypatch.setenv(submit_door.TOKEN_FILE, str(tmp_path / "nowhere"))
    monkeypatch.setenv(submit_door.TOKEN, TOKEN)
    submit_door.client(address)


def test_a_cluster_without_a_token_is_refused_where_one_is_demanded(
    server: tuple[type[Server], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    kind, address = server
    kind.mode = "disabled"
    submit_door.client(address)
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    with pytest.raises(WarmthError, match="the cluster takes commands from anybody; start it with"):
        submit_door.client(address)


def test_another_ray_is_said_with_the_cure(
    server: tuple[type[Server], str], work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind, address = server
    kind.mode, kind.version = "disabled", "2.59.0"
    (work / "study.json").write_text(json.dumps(SETTINGS))
    said = CliRunner().invoke(main, ["submit", str(work / "study.json"), "--address", address])
    assert said.exit_code == 1
    assert "Ray 2.59.0 runs on the cluster, and this program needs" in said.output
    assert f"install ray=={ray.__version__}" in said.output
    monkeypatch.setattr(kind, "do_GET", lambda self: self._say(404, {}))
    said = CliRunner().invoke(main, ["submit", str(work / "study.json"), "--address", address])
    assert "something answers there, but it is no job server of Ray's" in said.output


@pytest.mark.parametrize(
    ("way", "mistake"),
    [
        ([], "either the cluster's file (--cluster) or its job server's address (--address) is needed"),
        (["--address", "127.0.0.1:8265"], "not the address of a job server; it looks like http://"),
        (["--address", f"http://127.0.0.1:{remote.free_port()}"], "nobody answers there (Connection refused)"),
        (["--cluster", "gone.yaml"], "gone.yaml: cannot be read as a cluster file"),
    ],
)
def test_a_way_that_leads_nowhere_is_said(way: list[str], mistake: str, work: Path) -> None:
    (work / "study.json").write_text(json.dumps(SETTINGS))
    said = CliRunner().invoke(main, ["submit", "study.json", *way])
    assert said.exit_code == 1
    assert mistake in said.output.replace("[Errno 111] ", "")


class Sleepy(Server):
    """Has a job that runs, loses two requests about it, and then has it done."""

    mode = "disabled"
    job: ClassVar[dict[str, Any]] = {}
    states: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        if self.path == "/api/jobs/":
            self._say(200, [{**self.job, "status": "RUNNING"}])
        elif self.path.endswith("/logs"):
            self._say(200, {"logs": "one\ntwo\nthr" if len(self.states) == 3 else "one\ntwo\nthree\nfour\n"})
        elif self.path.startswith("/api/jobs/"):
            state = self.states.pop(0)
            if state == "lost":
                self.connection.shutdown(socket.SHUT_RDWR)
            else:
                self._say(200, {**self.job, "status": state})
        else:
            super().do_GET()


@pytest.mark.parametrize("server", [Sleepy], indirect=True)
@pytest.mark.usefixtures("work")
def test_a_job_that_runs_is_followed_whatever_becomes_of_the_connection(
    server: tuple[type[Sleepy], str], tmp_path: Path
) -> None:
    kind, address = server
    whole = submit_pack.pack(study(), [], tmp_path / "same")
    name = f"{submit._stem(study())}-3"
    about = {"study": whole, "run": "~/warmth/runs/mini"}
    kind.job = {"type": "SUBMISSION", "submission_id": name, "entrypoint": "x", "metadata": about}
    kind.states = ["RUNNING", "RUNNING", "lost", "lost", "SUCCEEDED"]
    said: list[str] = []
    done = study().submit(address=address, say=said.append)
    assert (done.id, done.status, done.run) == (name, "SUCCEEDED", "~/warmth/runs/mini")
    first, one, two, gone, back, *rest = said
    assert (first, one, two, rest) == (f"{name} runs already", "one", "two", ["three", "four"])
    assert "The connection is lost" in gone
    assert back == "The connection is there again."
    with pytest.raises(WarmthError, match=f"{name} runs on the cluster with other settings of mini"):
        study(training={**SETTINGS["training"], "seeds": [1]}).submit(address=address)
