"""Studies submitted to a real head of Ray's: followed, found again, gone on with, and fetched home."""

import contextlib
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
import remote
from aiohttp import web
from click.testing import CliRunner
from provider import KEY, Provider

from orchestrator import Study, head, holder, load, submit_door
from orchestrator.__main__ import main
from orchestrator.errors import WarmthError

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.skipif(bool(remote.WHY_NOT), reason=remote.WHY_NOT),
]

TOKEN = "planted-token-0123456789abcdef"

STUDY = """\
name: {name}
models: [{{name: gpt, hosted: {{url: {url}, model: GPT-x, api_key_env: PROVIDER_KEY}}}}]
personas: [original]
evaluation: {{tasks: [lab_facts], contexts: [neutral], samples: 8}}
judges: [rule]
resources: {{workers: 1, in_flight: 2, unfiled: 4}}
"""


class Gated(Provider):
    """Answers so many chats, and holds all others until it is opened."""

    def __init__(self) -> None:
        super().__init__()
        self.answers, self.opened = 10**9, threading.Event()

    async def _chat(self, request: web.Request) -> web.Response:
        if len(self.asked) >= self.answers and not self.opened.is_set():
            self.asked.append(await request.json())
            raise web.HTTPServiceUnavailable(headers={"Retry-After": "600"})
        return await super()._chat(request)


@contextlib.contextmanager
def head_up(home: Path, port: int, store: int) -> Iterator[None]:
    """A head of Ray's with a token, in folders of its own, ended by its own processes."""
    home.joinpath(".ray").mkdir(parents=True, exist_ok=True)
    home.joinpath(".ray", "auth_token").write_text(TOKEN)
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("RAY_", "PYTHONPATH"))}
    environment = {
        **kept,
        **{"HOME": str(home), "RAY_AUTH_MODE": "token", "PROVIDER_KEY": KEY},
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
    }
    ports = {"dashboard-port": port, "port": store, "metrics-export-port": 0} | {
        name: remote.free_port() for name in ("ray-client-server-port", "dashboard-agent-listen-port")
    }
    with tempfile.TemporaryDirectory(prefix="ray-", dir="/tmp", ignore_cleanup_errors=True) as folder:
        command = [
            *(sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block", f"--temp-dir={folder}"),
            *("--num-cpus=2", "--num-gpus=1", "--object-store-memory=100000000", "--disable-usage-stats"),
            *(f"--{name}={value}" for name, value in ports.items()),
        ]
        started = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            until(lambda: answers(port), started)
            yield
        finally:
            family = [*psutil.Process(started.pid).children(recursive=True), psutil.Process(started.pid)]
            started.send_signal(signal.SIGTERM)
            _, alive = psutil.wait_procs(family, timeout=20)
            for process in alive:
                process.kill()
            started.wait(20)


def answers(port: int) -> bool:
    with contextlib.suppress(submit_door.Lost, WarmthError):
        submit_door.client(f"http://127.0.0.1:{port}").list_jobs()
        return True
    return False


def until(there: Callable[[], bool], process: subprocess.Popen[bytes] | None = None) -> None:
    """Look again and again, as long as the test has time."""
    while not there():
        assert process is None or process.poll() is None, "it ended"
        time.sleep(0.2)


@pytest.fixture(scope="module")
def token(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The token on this side, in a file as people have it."""
    file = tmp_path_factory.mktemp("token") / "auth_token"
    file.write_text(f"{TOKEN}\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(submit_door.TOKEN_FILE, str(file))
        patch.delenv("RAY_AUTH_MODE", raising=False)
        yield


@pytest.fixture(scope="module")
def cluster(token: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:  # noqa: ARG001
    """The file of a cluster whose head is up, and lets us in by ssh."""
    folder, port, store = tmp_path_factory.mktemp("cluster"), remote.free_port(), remote.free_port()
    with remote.cluster_file(folder, port, store) as file, head_up(folder / "home", port, store):
        yield file


@pytest.fixture(scope="module")
def provider() -> Iterator[Gated]:
    with Gated() as server:
        yield server


@pytest.fixture
def work(cluster: Path, provider: Gated, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The README's folder: configs/lab.yaml is a small study, cluster.yaml leads to the head."""
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs" / "lab.yaml").write_text(STUDY.format(name="lab", url=provider.url))
    shutil.copy(cluster, tmp_path / "cluster.yaml")
    monkeypatch.chdir(tmp_path)
    provider.asked.clear()
    provider.answers, provider.opened = 10**9, threading.Event()
    return tmp_path


def prompts(provider: Gated) -> Counter[str]:
    return Counter(json.dumps(asked["messages"]) for asked in provider.asked)


def test_a_study_is_submitted_followed_done_once_and_fetched_by_the_readme_s_commands(
    work: Path, provider: Gated, cluster: Path, root: Path
) -> None:
    lines = r"^    (warmth (?:submit configs/lab.yaml|fetch lab) .*?)(?:  #.*)?$"
    first, again, home = re.findall(lines, (root / "README.md").read_text(), re.MULTILINE)
    said = CliRunner().invoke(main, shlex.split(again)[1:])
    assert said.exit_code == 0, said.output
    assert re.search(r"warmth-lab-\w{6}-1 is submitted; its run is ~/warmth/runs/lab there", said.output)
    followed = CliRunner().invoke(main, shlex.split(first)[1:])
    assert followed.exit_code == 0, followed.output
    assert "warmth-lab-" in followed.output
    assert "`warmth fetch ~/warmth/runs/lab --cluster cluster.yaml` brings it home" in followed.output
    assert set(prompts(provider).values()) == {1}
    asked = len(provider.asked)
    done = CliRunner().invoke(main, shlex.split(first)[1:])
    assert "everything is done already" in done.output
    assert len(provider.asked) == asked
    fetched = CliRunner().invoke(main, shlex.split(home)[1:])
    assert fetched.exit_code == 0, fetched.output
    assert (work / "runs" / "lab" / "report" / "index.html").is_file()
    assert load("runs/lab")["replies"].collect().height == asked
    assert not any(KEY.encode() in file.read_bytes() for file in (work / "runs").rglob("*") if file.is_file())
    assert KEY not in followed.output + done.output
    assert not list((cluster.parent / "home" / "warmth" / "runs" / "lab").glob("adapters"))


def test_a_connection_that_is_lost_is_opened_again_while_the_job_goes_on(work: Path) -> None:
    said: list[str] = []
    tunnels: list[psutil.Process] = []

    def say(line: str) -> None:
        said.append(line)
        tunnels.extend(each for each in psutil.Process().children() if each.name() == "ssh" and each not in tunnels)
        if len(tunnels) == 1:
            tunnels[0].kill()

    done = Study.load("configs/lab.yaml", ["name=sleepy"]).submit(cluster=work / "cluster.yaml", say=say)
    assert done.status == "SUCCEEDED", said
    assert any(line.startswith("ask: ") for line in said)
    assert len(tunnels) == 2
    assert Study.load("configs/lab.yaml", ["name=sleepy"]).fetch(work / "cluster.yaml") == Path("runs/sleepy")


def test_a_driver_that_is_killed_loses_nothing_and_the_next_job_repeats_nothing(
    work: Path, provider: Gated, cluster: Path
) -> None:
    study, file = Study.load("configs/lab.yaml", ["name=killed"]), work / "cluster.yaml"
    provider.answers = 12
    begun = study.submit(cluster=file, detach=True)
    folder = cluster.parent / "home" / "warmth" / "runs" / "killed"
    until(lambda: len(provider.asked) > 12 and any(folder.glob("replies/*/*")))
    assert study.submit(cluster=file, detach=True).id == begun.id
    other = Study.load("configs/lab.yaml", ["name=killed", "evaluation.samples=4"])
    with pytest.raises(WarmthError, match="runs on the cluster with other settings of killed; wait until it is done"):
        other.submit(cluster=file, detach=True)
    driver = holder.of(folder / ".holder")
    assert driver
    psutil.Process(driver.pid).kill()
    until(lambda: not running(study, cluster))
    filed = load(folder)["replies"].collect().height
    assert filed > 0
    provider.opened.set()
    done = study.submit(cluster=file)
    assert (done.status, done.id) == ("SUCCEEDED", f"{begun.id[:-1]}2")
    whole = load(folder)["replies"].collect()
    assert whole.height == len(prompts(provider)) == whole.select("sample", "prompt").unique().height
    again = sum(count - 1 for count in prompts(provider).values())
    assert again <= study.resources.unfiled + study.resources.in_flight


def running(study: Study, cluster: Path) -> bool:
    """Whether a job of a study's runs there, as Ray says."""
    with submit_door.Door(head.of(cluster), None) as door:
        jobs = submit_door.client(door.address).list_jobs()
    mine = [job for job in jobs if (job.submission_id or "").startswith(f"warmth-{study.name}-")]
    return not all(job.status.is_terminal() for job in mine)


def test_ray_s_own_command_runs_a_study_too_and_a_job_is_ended(work: Path, provider: Gated, cluster: Path) -> None:
    ray = [sys.executable, "-m", "ray.scripts.scripts", "job", "submit", "--working-dir", "."]
    address = f"http://127.0.0.1:{head.of(cluster).dashboard}"
    with_token = {**os.environ, "RAY_AUTH_MODE": "token", "RAY_ADDRESS": "", "RAY_API_SERVER_ADDRESS": address}
    command = [*ray, "--", "warmth", "run", "configs/lab.yaml", "name=plain", f"resources.runs={work}/shared"]
    done = subprocess.run(command, env=with_token, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (work / "shared" / "plain" / "report" / "index.html").is_file()
    provider.asked.clear()
    provider.answers = 2
    held = ["submit", "configs/lab.yaml", "name=held", "--address", address]
    assert CliRunner().invoke(main, [*held, "--detach"]).exit_code == 0
    until(lambda: len(provider.asked) > 2)
    assert re.search(r"warmth-held-\w{6}-1 is ended", CliRunner().invoke(main, [*held, "--stop"]).output)
    until(lambda: CliRunner().invoke(main, [*held, "--stop"]).output == "No job of it runs\n")


HOLD = """
import time, ray
ray.init()
ray.util.placement_group([{"GPU": 1}, {"GPU": 1}])
time.sleep(600)
"""


@pytest.mark.usefixtures("work")
def test_a_cluster_s_machines_and_what_waits_for_room_are_shown(cluster: Path, root: Path) -> None:
    (line,) = re.findall(
        r"^    (warmth status --cluster .*?)(?:  #.*)?$", (root / "README.md").read_text(), re.MULTILINE
    )
    shown = subprocess.run(
        [sys.executable, "-m", "orchestrator", *shlex.split(line)[1:]], capture_output=True, text=True, check=False
    )
    assert shown.returncode == 0, shown.stderr
    for said in ("Cluster: 0 of 2 CPUs, 0 of 1 GPUs in use", "Waiting for room: nothing"):
        assert said in shown.stdout
    address = f"http://127.0.0.1:{head.of(cluster).dashboard}"
    client = submit_door.client(address)
    name = client.submit_job(entrypoint=f"python -c {shlex.quote(HOLD)}")
    until(lambda: waiting(cluster) == [{"count": 1, "room": {"GPU": 1}}] * 2 or waiting(cluster) == TWO)
    client.stop_job(name)
    without = subprocess.run(
        [sys.executable, "-m", "orchestrator", "status", "--cluster", str(cluster)],
        env={**os.environ, submit_door.TOKEN: "another"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert without.returncode == 1
    assert "the cluster does not say" in without.stderr


TWO = [{"count": 2, "room": {"GPU": 1}}]


def waiting(cluster: Path) -> list[dict[str, object]]:
    command = [sys.executable, "-m", "orchestrator", "status", "--cluster", str(cluster), "--json"]
    found: list[dict[str, object]] = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)[
        "waiting"
    ]
    return found
