"""The preflight: all that is missing is named at once with its cure, and nothing is started before."""

import http.server
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import huggingface_hub
import pytest
from huggingface_hub import errors
from mini import SETTINGS

from orchestrator import Study, filing, preflight, preflight_machine, preflight_net
from orchestrator.errors import WarmthError
from orchestrator.plan import Plan
from orchestrator.store import Store

NOWHERE = "http://127.0.0.1:9/v1"


def study(folder: Path, **changes: Any) -> Study:
    return Study(**{**SETTINGS, "resources": {"runs": str(folder)}, **changes})


def judge(url: str, key: str | None = None) -> dict[str, Any]:
    return {"name": "grader", "url": url, "model": "grader", "api_key_env": key}


@pytest.fixture
def endpoint() -> Iterator[str]:
    """An endpoint that lets in whoever brings the key `right`."""

    class Answer(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.headers["Authorization"] == "Bearer right" else 401)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/v1"
        server.shutdown()


def test_the_lab_is_ready_anywhere(tmp_path: Path) -> None:
    assert preflight.look(study(tmp_path)) == preflight.Found()


def test_everything_is_named_at_once_and_nothing_is_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GRADER_KEY", raising=False)
    (tmp_path / "empty").mkdir()
    lacking = study(
        tmp_path / "runs",
        models=[
            {"name": "lost", "path": "./nowhere"},
            {"name": "empty", "path": str(tmp_path / "empty"), "quantization": "nf4"},
            {"name": "far", "path": "somebody/far-8b"},
        ],
        judges=[judge(NOWHERE), {**judge(NOWHERE, "GRADER_KEY"), "name": "second"}],
        warmth={"scorer": "gpt2"},
        resources={"gpus": 2, "runs": str(tmp_path / "runs")},
    )
    with pytest.raises(WarmthError) as raised:
        lacking.run()
    said = str(raised.value)
    for part in (
        "models: lost: there is no folder ./nowhere; correct the path",
        "empty has no config.json and no tokenizer_config.json",
        "models: far: somebody/far-8b is not on this machine, and the hub does not answer",
        "warmth.scorer: gpt2 is not on this machine",
        f"judges: grader: {NOWHERE} does not answer",
        "judges: second: the environment variable GRADER_KEY is not set; `export GRADER_KEY=...`",
        "models: empty: quantization needs bitsandbytes",
        "resources.gpus: 2 described, none found on this machine",
    ):
        assert part in said
    assert not (tmp_path / "runs").exists()


def test_a_key_is_tried_and_never_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, endpoint: str) -> None:
    asked = study(tmp_path, judges=[judge(endpoint, "GRADER_KEY")])
    monkeypatch.setenv("GRADER_KEY", "right")
    assert preflight.problems(asked) == []
    monkeypatch.setenv("GRADER_KEY", "secret-but-wrong")
    (said,) = preflight.problems(asked)
    assert "refuses the key in GRADER_KEY (HTTP 401)" in said
    assert "secret" not in said
    (said,) = preflight.problems(study(tmp_path, judges=[judge(endpoint)]))
    assert "set api_key_env" in said


def test_an_own_judge_must_be_a_model_of_the_study(tmp_path: Path) -> None:
    assert (
        preflight.problems(study(tmp_path, judges=[{**judge("served"), "model": "tiny", "judges_itself": True}])) == []
    )
    (said,) = preflight.problems(study(tmp_path, judges=[judge("served")]))
    assert "serves no model 'grader'; name one of tiny" in said


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        (errors.GatedRepoError, "somebody/model is gated; accept its terms at https://huggingface.co/somebody/model"),
        (errors.RevisionNotFoundError, "has no revision 'v2'"),
        (errors.RepositoryNotFoundError, "the hub has no model somebody/model, or it is private"),
        (OSError, "is not on this machine, and the hub does not answer (no route)"),
    ],
)
def test_what_the_hub_says_is_turned_into_a_cure(monkeypatch: pytest.MonkeyPatch, kind: type, said: str) -> None:
    error = kind.__new__(kind)
    error.args = ("no route",)

    class Hub:
        def repo_info(self, *_: Any, **__: Any) -> None:
            raise error

    monkeypatch.setattr(huggingface_hub, "HfApi", Hub)
    assert said in (preflight_net.checkpoint("models: m", "somebody/model", "v2") or "")


@pytest.mark.parametrize(
    ("gpus", "built", "driver", "said"),
    [
        ((85.0,), "13.0", "13.1", None),
        ((85.0,), None, "13.1", "torch is built for processors; install requirements/gpu.txt"),
        ((85.0,), "13.0", "12.4", "torch is built for CUDA 13.0, and this driver goes up to 12.4; update the driver"),
        ((), None, None, None),
    ],
)
def test_cuda_that_torch_cannot_use_is_said_so(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    gpus: tuple[float, ...],
    built: str | None,
    driver: str | None,
    said: str | None,
) -> None:
    monkeypatch.setattr(preflight_machine, "gpus", lambda: gpus)
    monkeypatch.setattr(preflight_machine, "torch_cuda", lambda: built)
    monkeypatch.setattr(preflight_machine, "driver_cuda", lambda: driver)
    found = preflight_machine.cuda(study(tmp_path, models=[{"name": "m", "path": "somebody/m-8b"}]))
    assert (said in (found or "")) if said else not found


def test_a_model_too_large_for_a_gpu_is_said_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preflight_machine, "gpus", lambda: (85.0, 85.0))
    large = study(tmp_path, models=[{"name": "m", "path": "somebody/m-70b"}, {"name": "n", "path": "somebody/n-8b"}])
    said = preflight_machine.memory(large) or ""
    assert "m: serving takes about 145 GB in bfloat16, too much for 1 x 85 GB" in said
    assert "models: n:" not in said


def test_a_disk_that_is_too_small_is_said_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HOME", str(tmp_path / "cache"))
    tuned = study(tmp_path / "runs", models=[{"name": "m", "path": "somebody/m-8b"}])
    monkeypatch.setattr(preflight_machine.shutil, "disk_usage", lambda _: SimpleNamespace(free=10e9))
    assert "10.0 GB are free, and weights and checkpoints take about 16.3" in (preflight_machine.disk(tuned) or "")
    monkeypatch.setattr(preflight_machine.shutil, "disk_usage", lambda _: SimpleNamespace(free=20e9))
    assert preflight_machine.disk(tuned) is None


def lose(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    whole = Plan.samples

    def samples(self: Plan, task: str) -> Any:
        if task in names:
            raise WarmthError("gated; ask for access")
        return whole(self, task)

    monkeypatch.setattr(Plan, "samples", samples)


def test_a_task_that_cannot_be_loaded_stops_a_study_unless_it_is_optional(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lose(monkeypatch, "lab_rumours")
    with pytest.raises(WarmthError, match=r"evaluation\.tasks: lab_rumours: gated; ask for access"):
        preflight.ready(study(tmp_path))
    optional = ["lab_facts", {"name": "lab_rumours", "optional": True}]
    kept, left_out = preflight.ready(study(tmp_path, evaluation={"tasks": optional}))
    assert [task.name for task in kept.evaluation.tasks] == ["lab_facts"]
    assert left_out == {"lab_rumours": "gated; ask for access"}
    assert {unit.task for unit in kept.plan().units} == {"lab_facts"}


def test_a_study_whose_tasks_are_all_lost_does_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lose(monkeypatch, "lab_rumours")
    with pytest.raises(WarmthError, match="lab_rumours: gated"):
        preflight.ready(study(tmp_path, evaluation={"tasks": [{"name": "lab_rumours", "optional": True}]}))


def test_the_report_says_what_was_left_out(tmp_path: Path) -> None:
    store, plan = Store(tmp_path / "mini"), study(tmp_path).plan()
    filing.file_study(plan, store, {"disinfo": "gated"})
    assert filing.about(plan, store)["tasks left out"] == {"disinfo": "gated"}
    filing.file_study(plan, store, {})
    assert "tasks left out" not in filing.about(plan, store)


def test_the_command_checks_and_ends_with_1_if_something_is_missing(root: Path) -> None:
    command = [sys.executable, "-m", "orchestrator", "plan", str(root / "configs" / "lab.yaml"), "--check"]
    ready = subprocess.run([*command, "--json"], capture_output=True, text=True, check=True)
    assert json.loads(ready.stdout)["problems"] == []
    served = "judges=[{name: own, url: served, model: nobody}]"
    lacking = subprocess.run([*command, served], capture_output=True, text=True, check=False)
    assert lacking.returncode == 1
    assert "not ready    judges: own: the run's own endpoint serves no model 'nobody'" in lacking.stdout


def test_a_hub_that_does_not_answer_is_asked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE"):
        monkeypatch.setenv(name, "")
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    preflight_net.without_a_hub_do_not_wait()
    assert os.environ["HF_HUB_OFFLINE"] == os.environ["HF_DATASETS_OFFLINE"] == "1"


def test_what_filters_conversations_must_be_installed(tmp_path: Path) -> None:
    data = {"source": str(tmp_path), "safety": "no_such_package.filters:safe"}
    rewriter = {"rewriter": {"url": "served", "model": "tiny"}}
    (said,) = preflight.problems(study(tmp_path, data=data, rewriting=rewriter))
    assert "data.safety: there is no module no_such_package.filters" in said
