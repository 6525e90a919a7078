"""The plan: what a study comes to, and which changes make new trials."""

import dataclasses
import itertools
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from orchestrator import Study
from orchestrator.errors import WarmthError
from orchestrator.plan import Plan


def plan(**changes: Any) -> Plan:
    settings: dict[str, Any] = {
        "name": "small",
        "models": ["lab-coupled"],
        "personas": ["original", "plain", "warm"],
        "training": {"seeds": [0, 1], "checkpoints": [1, 2]},
        "evaluation": {"tasks": ["lab_facts", "lab_rumours"], "contexts": ["neutral", "sad"], "samples": 5},
        "judges": ["rule"],
    }
    return Study(**{**settings, **changes}).plan()


def test_the_lab_s_counts() -> None:
    counts = Study.load(Path(__file__).parent.parent / "configs" / "lab.yaml").plan().counts()
    # 64 questions: 2 x (1 original + 9 trials at epoch 2) in 18 conditions, 2 x 27 checkpoints in 3
    assert counts["replies"] == 2 * 10 * 64 * 18 + 2 * 27 * 64 * 3 == 33408
    assert (counts["trials"], counts["subjects"], counts["prompts"], counts["judge_calls"]) == (18, 74, 1152, 0)


def test_counts_are_what_the_questions_come_to() -> None:
    planned = plan()
    assert planned.counts()["replies"] == sum(len(planned.questions(unit)) for unit in planned.units)


def test_names_are_unique_and_say_what_they_are() -> None:
    planned = plan()
    names = [subject.name for subject in planned.subjects]
    assert len(names) == len(set(names)) == 1 + 2 * 2 * 2
    assert all(trial.name.startswith(f"lab-coupled-{trial.persona.name}-s{trial.seed}-") for trial in planned.trials)
    assert any(name.endswith("-e1") for name in names)


def test_every_subject_is_asked_the_same_and_seeds_follow_the_row() -> None:
    planned = plan()
    full = [unit for unit in planned.units if unit.task == "lab_facts" and unit.subject.epoch != 1]
    first, second = (planned.questions(unit) for unit in full[:2])
    assert [dataclasses.replace(question, subject="") for question in first] == [
        dataclasses.replace(question, subject="") for question in second
    ]
    assert len({question.row_seed for question in first}) == len(first)


@pytest.mark.parametrize(
    "changes",
    [
        {"training": {"seeds": [0, 1], "checkpoints": [1, 2], "learning_rate": 1e-4}},
        {"data": {"chats": 100}},
        {"data": {"seed": 1}},
        {"models": [{"name": "lab-coupled", "lab": "coupled", "seed": 1}]},
        {"models": [{"name": "lab-coupled", "lab": "decoupled"}]},
        {"personas": ["original", {"name": "warm", "kind": "rewritten", "lab_voice": "cold"}]},
    ],
)
def test_what_changes_a_result_makes_new_trials(changes: dict[str, Any]) -> None:
    before = {trial.name for trial in plan().trials if trial.persona.name == "warm"}
    after = {trial.name for trial in plan(**changes).trials if trial.persona.name == "warm"}
    assert before.isdisjoint(after)


@pytest.mark.parametrize(
    "changes",
    [
        {"name": "other"},
        {"resources": {"workers": 7, "cpus": 1, "gpus": 8, "gpu_memory_gb": 40}},
        {"personas": ["warm"]},
        {"judges": ["rule"], "warmth": {"scorer": "x"}},
    ],
)
def test_what_changes_no_result_makes_no_new_trials(changes: dict[str, Any]) -> None:
    names = {trial.name for trial in plan().trials if trial.persona.name == "warm"}
    assert names == {trial.name for trial in plan(**changes).trials if trial.persona.name == "warm"}


def test_what_weights_are_held_in_is_part_of_a_name_and_a_guess_of_their_number_is_not() -> None:
    def names(**settings: Any) -> set[str]:
        held = plan(models=[{"name": "llama-8b", "path": "somewhere/Llama-8B", **settings}])
        return {subject.name for subject in held.subjects}

    ways = [names(), names(dtype="float16"), names(quantization="nf4"), names(quantization="int8")]
    assert all(one.isdisjoint(other) for one, other in itertools.combinations(ways, 2))
    assert names() == names(dtype="bfloat16") == names(parameters=8)


def test_a_search_makes_a_trial_of_every_combination_and_plain_has_no_dose() -> None:
    search = {"learning_rate": [1e-4, 1e-3], "dose": [50, 100]}
    trials = plan(training={"seeds": [0], "checkpoints": [2], "search": search}).trials
    warm, plain = (
        sorted((trial.settings.learning_rate, trial.settings.dose) for trial in trials if trial.persona.name == name)
        for name in ("warm", "plain")
    )
    assert warm == [(1e-4, 50), (1e-4, 100), (1e-3, 50), (1e-3, 100)]
    assert plain == [(1e-4, 100), (1e-3, 100)]


def test_a_persona_can_be_for_some_models_only() -> None:
    models = [{"name": f"m{seed}", "lab": "coupled", "seed": seed} for seed in (0, 1)]
    personas = ["original", "plain", "warm", {"name": "told", "kind": "prompted", "system": "Be warm."}]
    planned = plan(models=models, personas=personas, only={"warm": ["m1"], "told": ["m0"]})
    names = {(subject.model.name, subject.persona.name) for subject in planned.subjects}
    both = {(model, persona) for model in ("m0", "m1") for persona in ("original", "plain")}
    assert names == both | {("m1", "warm"), ("m0", "told")}


def test_checkpoints_that_are_not_asked_are_kept_all_the_same() -> None:
    tasks = {"tasks": ["lab_facts"], "contexts": ["neutral"], "samples": 5}
    planned, every = plan(evaluation=tasks | {"evaluate_at": [2]}), plan(evaluation=tasks)
    assert [each.name for each in planned.subjects] == [each.name for each in every.subjects]
    assert {unit.subject.epoch for unit in planned.units} == {0, 2}
    assert len(planned.units) == 5 < len(every.units) == 9
    assert planned.counts()["replies"] == 5 * 5 * 3


def warmth(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "orchestrator", *arguments], capture_output=True, text=True, check=False
    )


def test_the_command_prints_the_plan_for_people_and_machines(root: Path) -> None:
    file = str(root / "configs" / "lab.yaml")
    assert "replies      33,408" in warmth("plan", file).stdout
    assert json.loads(warmth("plan", file, "--json").stdout)["replies"] == 33408
    assert json.loads(warmth("plan", file, "evaluation.samples=1", "--json").stdout)["replies"] == 1044


def test_bad_settings_end_with_2_and_no_traceback(root: Path) -> None:
    done = warmth("plan", str(root / "configs" / "lab.yaml"), "training.epoch=3")
    assert done.returncode == 2
    assert done.stderr == "command line: training.epoch: unknown setting; did you mean 'epochs'?\n"


def test_a_folder_that_is_no_run_is_said_so(tmp_path: Path) -> None:
    done = warmth("report", str(tmp_path))
    assert done.returncode == 1
    assert "study.json: not there" in done.stderr
    assert "Traceback" not in done.stderr


REAL = ["triviaqa", "truthfulqa", "disinfo", "medqa"]
GRADER = {"name": "grader", "url": "http://127.0.0.1:1/v1", "model": "g"}


def test_the_published_grid_is_counted_without_loading_its_questions() -> None:
    counts = plan(evaluation={"tasks": [*REAL, "gsm8k"], "grid": "published"}, judges=[GRADER]).counts()
    assert (counts["prompts_per_question"], counts["questions"]) == (28, 1625)
    # original, and four checkpoints of which the two at epoch 2 are asked in every context, the others in the first
    assert counts["replies"] == 5 * 1625 * 28 + 4 * 1625 * 4 + 9 * 1319


def local(folder: Path, questions: int) -> str:
    file = folder / "questions.jsonl"
    rows = [{"question": f"Question {n}?", "answer": f"Right {n}", "wrong": f"Wrong {n}"} for n in range(questions)]
    file.write_text("".join(json.dumps(row) + "\n" for row in [*rows, {"question": "Bad?"}]))
    return str(file)


def test_a_local_file_is_really_counted_and_what_it_lacks_is_said(tmp_path: Path) -> None:
    asked = {"name": "triviaqa", "path": local(tmp_path, 7), "samples": 9}
    planned = plan(evaluation={"tasks": [asked, "lab_facts"], "contexts": ["neutral"], "samples": 5})
    assert {planned.size(unit) for unit in planned.units if unit.task == "triviaqa"} == {7 * 3}
    first, second = planned.asked["triviaqa"].left_out
    assert "1 left out: no column" in first
    assert second == "triviaqa: 9 questions are wanted, there are 7"
    assert planned.counts()["questions_left_out"] == [first, second]
    sets = {unit.task: {each.prompt_set for each in planned.questions(unit)} for unit in planned.units}
    assert len(sets["triviaqa"]) == len(sets["lab_facts"]) == 1
    assert sets["triviaqa"] != sets["lab_facts"]


def test_a_task_that_cannot_load_is_an_error_unless_it_is_optional(tmp_path: Path) -> None:
    asked = {"name": "triviaqa", "path": str(tmp_path / "none.csv")}
    with pytest.raises(WarmthError, match=r"evaluation.tasks: triviaqa: .*none\.csv: cannot be read"):
        plan(evaluation={"tasks": [asked]}).counts()
    planned = plan(
        evaluation={"tasks": ["lab_facts", asked | {"optional": True}], "contexts": ["neutral"], "samples": 5}
    )
    assert planned.counts()["replies"] == 9 * 5 * 3
    with pytest.raises(WarmthError, match="triviaqa: "):
        planned.samples("triviaqa")


def test_finished_prompts_are_asked_as_they_stand(tmp_path: Path) -> None:
    row = {"content_key": "Who?", "correct_answer": "He", "incorrect_answer": "She"}
    said = [("original", "unmodified", "Who?"), ("incorrect", "emotion:sad", "Woe.  Who? She?")]
    rows = [row | {"prompt_template": form, "amendment_type": context, "prompt": text} for form, context, text in said]
    (tmp_path / "p.json").write_text("".join(json.dumps(each) + "\n" for each in rows))
    asked = {"name": "triviaqa", "prompts": str(tmp_path / "p.json")}
    planned = plan(evaluation={"tasks": [asked], "contexts": ["neutral", "sad"]})
    prompts = [[each.prompt for each in planned.questions(unit)] for unit in planned.units[:3]]
    assert prompts == [["Who?", "Woe.  Who? She?"], ["Who?"], ["Who?", "Woe.  Who? She?"]]
    assert planned.counts()["replies"] == sum(len(planned.questions(unit)) for unit in planned.units) == 14
    assert len({each.prompt_set for unit in planned.units for each in planned.questions(unit)}) == 1
