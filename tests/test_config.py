"""Settings: YAML and Python agree, every mistake is named with its place, nothing heavy is imported."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import ValidationError

from orchestrator import Study
from orchestrator.config import SHIPPED
from orchestrator.errors import ConfigError
from orchestrator.settings_search import Searching
from orchestrator.settings_training import Training, TrainingSettings

LEAST = """\
name: small
models: [lab-coupled]
personas: [original, warm]
evaluation:
  tasks: [lab_facts]
judges: [rule]
"""


def study_file(folder: Path, text: str = LEAST) -> Path:
    file = folder / "small.yaml"
    file.write_text(text)
    return file


def mistakes(folder: Path, text: str = LEAST, *overrides: str) -> list[str]:
    with pytest.raises(ConfigError) as raised:
        Study.load(study_file(folder, text), overrides)
    return [line.replace(f"{folder}/", "") for line in raised.value.mistakes]


@pytest.mark.parametrize("file", sorted(SHIPPED.glob("*.yaml")), ids=lambda file: file.name)
def test_every_shipped_study_is_valid_and_named_after_its_file(file: Path) -> None:
    study = Study.load(file)
    assert study.name == file.stem
    assert study.plan().counts()["replies"] > 0


@pytest.mark.parametrize(
    "file", sorted([*SHIPPED.glob("models/*.yaml"), *SHIPPED.glob("personas/*.yaml")]), ids=lambda file: file.stem
)
def test_every_shipped_model_and_persona_can_be_named(tmp_path: Path, file: Path) -> None:
    rewriter = "rewriting.rewriter={url: 'http://127.0.0.1:1/v1', model: r}"
    study = Study.load(study_file(tmp_path), [f"{file.parent.name}=[{file.stem}]", rewriter])
    assert file.stem in {each.name for each in (*study.models, *study.personas)}


def test_python_and_yaml_build_equal_studies(tmp_path: Path) -> None:
    in_python = Study(
        name="small",
        models=["lab-coupled"],
        personas=["original", "warm"],
        evaluation={"tasks": ["lab_facts"]},
        judges=["rule"],
    )
    assert in_python == Study.load(study_file(tmp_path))


def test_a_study_survives_json(tmp_path: Path) -> None:
    study = Study.load(study_file(tmp_path))
    assert Study.model_validate(json.loads(study.model_dump_json())) == study


def test_a_study_is_frozen(tmp_path: Path) -> None:
    with pytest.raises(ValidationError):
        Study.load(study_file(tmp_path)).name = "other"


def test_a_study_s_own_folder_is_looked_into_first(tmp_path: Path) -> None:
    (tmp_path / "personas").mkdir()
    (tmp_path / "personas" / "warm.yaml").write_text("kind: prompted\nsystem: Be warm.\n")
    assert Study.load(study_file(tmp_path)).personas[1].system == "Be warm."


def test_all_mistakes_are_named_at_once_with_their_lines(tmp_path: Path) -> None:
    text = LEAST.replace("warm]", "warn]").replace("lab_facts", "lab_fact") + (
        "training:\n  epoch: 3\n  learning_rate: fast\n  seeds: [1, 1]\n  search: {dropout: [2]}\n"
    )
    assert mistakes(tmp_path, text) == [
        "small.yaml:3: personas.1: no persona is named 'warn'; did you mean 'warm'?",
        "small.yaml:5: evaluation.tasks.0: no task is named 'lab_fact'; did you mean 'lab_facts'?",
        "small.yaml:8: training.epoch: unknown setting; did you mean 'epochs'?",
        "small.yaml:9: training.learning_rate: should be a valid number, unable to parse string as a number"
        " (it says 'fast')",
        "small.yaml:10: training.seeds: 1 stands here twice; keep one",
        "small.yaml:11: training.search.dropout.0: should be less than 1 (it says 2)",
    ]


@pytest.mark.parametrize(
    ("change", "mistake"),
    [
        (("name: small\n", ""), "small.yaml:1: name: this setting is missing"),
        (("name: small", "name: Small Talk"), "small.yaml:1: name: 'Small Talk' is no name: small letters"),
        (("[original, warm]", "[]"), "small.yaml:3: personas: needs at least one value"),
        (("[original, warm]", "[warm, warm]"), "small.yaml:3: personas: warm stands here twice; keep one"),
        (("[lab-coupled]", "[{name: x}]"), "small.yaml:2: models.0: model 'x' needs one of path"),
        (("[lab-coupled]", "[{name: x, lab: couple}]"), "did you mean 'coupled'?"),
        (
            ("[lab-coupled]", "[{name: x, lab: coupled, dtype: float16}]"),
            "small.yaml:2: models.0: model 'x' is of the lab, which is float32",
        ),
        (
            ("judges:", "resources: {gpus_per_trial: {lab-couple: 2}}\njudges:"),
            "small.yaml:6: resources.gpus_per_trial.lab-couple: the study trains no model 'lab-couple' here; "
            "did you mean 'lab-coupled'?",
        ),
        (
            ("judges:", "resources: {gpus_per_trial: 1.5}\njudges:"),
            "small.yaml:6: resources.gpus_per_trial.*: more than one GPU is a whole number of them",
        ),
        (
            ("[original, warm]", "[{name: x, kind: prompted}]"),
            "small.yaml:3: personas.0: system is needed by persona 'x'",
        ),
        (("[rule]", "[{name: gpt}]"), "small.yaml:6: judges.0: judge 'gpt' of kind llm needs url and model"),
        (("judges", "evaluation: {}\njudges"), "small.yaml:6: evaluation: set twice; keep one"),
        (("[rule]", "[rule]\nwarmth: {scorer: x, warm_openers: [hi]}"), "an opener needs {text} once"),
        (("[rule]", "[rule]\nwarmth: {scorer: x, warmth_at: [3]}"), "warmth.warmth_at names epoch 3, but training"),
        (("[rule]", "[rule]\nwarmth: {scorer: x, prompts: held-out}"), "set data.held_out, or take prompts: tasks"),
        (("[rule]", "[rule]\ntraining: {checkpoints: [3]}"), "checkpoints 3 lie behind the last epoch, 2"),
        (("[rule]", "[rule]\ntraining: {checkpoints: [1]}"), "evaluation.contexts_at names epoch 2"),
        (
            ("[rule]", "[rule]\nonly: {warn: [lab-coupled]}"),
            "no persona 'warn'; did you mean 'warm'?",
        ),
        (
            ("[rule]", "[rule]\nonly: {warm: [x]}"),
            "small.yaml:7: only: the study has no model 'x'",
        ),
        (("[lab_facts]", "[lab_facts]\n  evaluate_at: [3]"), "evaluation.evaluate_at names epoch 3, but training"),
        (("[lab_facts]", "[lab_facts]\n  evaluate_at: [1]"), "names epoch 2, but evaluation.evaluate_at are 1"),
        (("[lab_facts]", "[{name: lab_fact}]"), "small.yaml:5: evaluation.tasks.0.name: no task is named 'lab_fact'"),
        (("[lab_facts]", "[lab_facts, {name: lab_facts, seed: 1}]"), "evaluation.tasks: lab_facts stands here twice"),
        (("[lab_facts]", "[{name: lab_facts, path: a, prompts: b}]"), "has path and prompts"),
        (("[lab_facts]", "[lab_facts]\n  pack: none.yaml"), "small.yaml:4: evaluation: pack: "),
        (("[lab_facts]", "[lab_facts]\n  grid: factorial"), "no words for context deference, command, low-stakes"),
        (("[lab_facts]", "[lab_facts]\n  beliefs: [none, filler]"), "no words for belief form filler: its tasks have"),
        (("[lab_facts]", "[medqa]"), "judges: medqa cannot be judged by rule; add a judge of kind llm"),
        (
            ("[lab_facts]", "[{name: lab_facts, temperature: 0}]\n  temperature: 1\n  draws: 2"),
            "draws 2 at temperature 0",
        ),
        (("[lab_facts]", "[lab_facts]\n  grid: publisht"), "did you mean 'published'?"),
        (("[lab_facts]", "[lab_facts]\n  grid: published\n  contexts: [sad]"), "grid published has its own contexts"),
        (("[rule]", "[rule]\nresources: {port: 70000}"), "small.yaml:7: resources.port: should be less than or equal"),
        (("  tasks: [lab_facts]", "  tasks: [lab_facts]\n  draws: 3"), "draws 3 at temperature 0 would be copies"),
    ],
)
def test_each_mistake_is_explained(tmp_path: Path, change: tuple[str, str], mistake: str) -> None:
    assert mistake in "\n".join(mistakes(tmp_path, LEAST.replace(*change)))


def test_a_mistake_in_a_named_file_points_into_that_file(tmp_path: Path) -> None:
    (tmp_path / "personas").mkdir()
    (tmp_path / "personas" / "warm.yaml").write_text("kind: rewritten\n\nlab_vioce: warm\n")
    said = mistakes(tmp_path)
    assert any("personas/warm.yaml:3: lab_vioce: unknown setting; did you mean 'lab_voice'?" in line for line in said)


@pytest.mark.parametrize("text", ["models: [a\nname: b", "- a\n- b", "a: b: c", "\t"])
def test_what_is_not_yaml_or_not_settings_is_said_so(tmp_path: Path, text: str) -> None:
    assert "small.yaml:" in mistakes(tmp_path, text)[0]


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.yaml: cannot be read: No such file"):
        Study.load(tmp_path / "none.yaml")


def test_numbers_with_exponents_are_numbers(tmp_path: Path) -> None:
    text = LEAST + "training: {learning_rate: 1e-5, search: {learning_rate: [1e-5, 5E-4, 1.5e-3]}}\n"
    training = Study.load(study_file(tmp_path, text)).training
    assert training.learning_rate == 1e-5
    assert training.search.learning_rate == (1e-5, 5e-4, 1.5e-3)  # type: ignore[attr-defined]


def test_overrides_are_read_and_checked_like_the_file(tmp_path: Path) -> None:
    file = study_file(tmp_path)
    study = Study.load(file, ["training.epochs=4", "evaluation.tasks=[lab_rumours]", "personas.1=cold"])
    assert (study.training.epochs, study.evaluation.tasks[0].name, study.personas[1].name) == (4, "lab_rumours", "cold")
    assert mistakes(tmp_path, LEAST, "training.epoch=4", "personas.1=warn", "nonsense", "models.7=x") == [
        "command line: 'nonsense': expected key.path=value, like training.epochs=4",
        "command line: models.7: there is no such setting to override in small.yaml",
    ]
    assert mistakes(tmp_path, LEAST, "training.epoch=4", "personas.1=warn") == [
        "command line: personas.1: no persona is named 'warn'; did you mean 'warm'?",
        "command line: training.epoch: unknown setting; did you mean 'epochs'?",
    ]


def test_every_searched_setting_is_a_training_setting() -> None:
    searchable = set(type(Training().search).model_fields) - set(Searching.model_fields)
    assert searchable == set(TrainingSettings.model_fields)


LIGHT = """
import pathlib, sys
from orchestrator import Study

for file in pathlib.Path("configs").glob("*.yaml"):
    Study.load(file).plan().counts()
heavy = ("torch", "ray", "transformers", "polars", "datasets", "scipy", "statsmodels", "huggingface_hub")
print([name for name in heavy if name in sys.modules])
"""


def test_the_plan_of_every_shipped_study_imports_nothing_heavy(root: Path) -> None:
    done = subprocess.run([sys.executable, "-c", LIGHT], capture_output=True, text=True, check=False, cwd=root)
    assert done.stdout.strip() == "[]", done.stderr


@pytest.mark.parametrize(
    "judge",
    [
        {"api_key_env": "sk-planted"},
        {"api_key": "sk-planted"},
        {"url": "https://me:sk-planted@somewhere/v1"},
        {"url": "https://somewhere/v1?key=sk-planted"},
        {"api_key_env": "KEY", "max_tokens": "sk-planted"},
    ],
)
def test_a_key_that_is_put_into_a_study_is_refused_and_not_said_again(tmp_path: Path, judge: dict[str, str]) -> None:
    judges = [{"name": "grader", "url": "https://somewhere/v1", "model": "m", **judge}]
    with pytest.raises(ValidationError) as raised:
        Study(
            name="s", models=["lab-coupled"], personas=["original"], evaluation={"tasks": ["lab_facts"]}, judges=judges
        )
    assert "sk-planted" not in str(raised.value)
    if "max_tokens" not in judge:
        said = mistakes(tmp_path, LEAST.replace("[rule]", json.dumps(judges)))
        assert said
        assert "sk-planted" not in "".join(said)
