"""The plan's figures: what they add up to, what fits, what can be found, and what is said to be unknown."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
from scipy import stats
from statsmodels.stats.power import NormalIndPower, TTestPower

from orchestrator import Study, plan_text, power, quantiles, sizes
from orchestrator.settings_subjects import Model, Precision
from orchestrator.settings_training import TrainingSettings

PAID = {
    "name": "gpt",
    "url": "https://example.com/v1",
    "model": "gpt",
    "api_key_env": "KEY",
    "usd_in": 2,
    "usd_out": 10,
}


def figures(**changes: Any) -> dict[str, Any]:
    settings: dict[str, Any] = {
        "name": "large",
        "models": [{"name": "llama-8b", "path": "somewhere/Llama-8B"}],
        "personas": ["original", "plain", "warm"],
        "training": {"seeds": [0, 1, 2], "checkpoints": [1, 2]},
        "evaluation": {
            "tasks": [{"name": "triviaqa", "samples": 32}],
            "grid": "published",
            "evaluate_at": [2],
            "max_tokens": 300,
        },
        "judges": [PAID],
    }
    return Study(**{**settings, **changes}).plan().counts()


def test_the_published_grid_has_28_prompts_a_question() -> None:
    found = figures()
    assert (found["questions"], found["prompts_per_question"], found["prompts"]) == (32, 28, 32 * 28)
    assert (found["trials"], found["subjects"]) == (6, 13)
    assert found["replies"] == found["judge_calls"] == 7 * 32 * 28


def test_dollars_are_tokens_at_the_endpoints_prices() -> None:
    tokens = figures()["tokens"]["judging"]
    assert figures()["api_cost_usd"] == pytest.approx((2 * tokens["prompt"] + 10 * tokens["reply"]) / 1e6, abs=1e-3)
    assert figures(judges=["rule"])["api_cost_usd"] == 0
    own = {"name": "own", "url": "http://127.0.0.1:1/v1", "model": "own"}
    assert figures(judges=[own])["api_cost_usd"] == 0


def test_what_is_not_known_is_null_and_said_to_be_unknown() -> None:
    unpriced = {**PAID, "usd_in": 0, "usd_out": 0}
    found = figures(models=[{"name": "mistral", "path": "somewhere/Mistral-Small"}], judges=[unpriced])
    assert found["gpu_hours"] is found["api_cost_usd"] is found["memory"]["mistral"]["train_gb"] is None
    told = "\n".join(plan_text.lines(found))
    assert told.count("unknown") >= 3
    assert "nan" not in told + json.dumps(found).lower()


def test_rewriting_is_counted_paid_for_or_done_by_a_model_of_the_study() -> None:
    rewriter = {"url": "https://example.com/v1", "model": "x", "api_key_env": "KEY", "usd_in": 1, "usd_out": 1}
    paid = figures(rewriting={"rewriter": rewriter}, data={"chats": 1000}, personas=["plain", "warm", "cold"])
    assert paid["rewrites"] == 2 * 2270
    assert paid["api_cost_usd_by_endpoint"]["rewriter"] == pytest.approx(2 * 2270 * (680 + 230) / 1e6, abs=1e-3)
    own = figures(rewriting={"rewriter": {"url": "served", "model": "llama-8b"}}, data={"chats": 1000})
    assert "rewriter" not in own["api_cost_usd_by_endpoint"]
    assert own["gpu_hours_by_stage"]["rewriting"] > 0


def test_training_hours_are_what_one_gpu_was_seen_to_take() -> None:
    trained = figures(data={"chats": 1617}, training={"seeds": [0], "checkpoints": [2]}, personas=["plain"])
    assert trained["gpu_hours_by_stage"]["training"] == pytest.approx(560 / 3600, rel=0.1)


@pytest.mark.parametrize(
    ("name", "billions"),
    [
        ("meta-llama/Llama-3.1-8B-Instruct", 8),
        ("Qwen/Qwen2.5-0.5B", 0.5),
        ("x/gpt-oss-20b", 20),
        ("mistralai/Mistral-Small-Instruct-2409", None),
        ("mistralai/Mixtral-8x7B", None),
    ],
)
def test_a_size_is_read_from_the_name_if_it_is_there(name: str, billions: float | None) -> None:
    assert sizes.parameters(Model(name="m", path=name)) == billions
    assert sizes.parameters(Model(name="m", path=name, parameters=3)) == 3


def test_a_size_is_read_from_the_folder_s_shape(tmp_path: Path) -> None:
    shape = {
        "hidden_size": 4096,
        "intermediate_size": 14336,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "vocab_size": 128256,
    }
    (tmp_path / "config.json").write_text(json.dumps(shape))
    assert sizes.parameters(Model(name="m", path=str(tmp_path))) == pytest.approx(8.03, abs=0.01)
    (tmp_path / "config.json").write_text("{}")
    assert sizes.parameters(Model(name="m", path=str(tmp_path))) is None


@pytest.mark.parametrize(("billions", "seen_gb"), [(3.2, 8), (8, 18), (32.5, 68)])
def test_memory_to_train_is_about_what_was_seen(billions: float, seen_gb: float) -> None:
    assert sizes.to_train_gb(billions, Precision("bfloat16"), TrainingSettings()) == pytest.approx(seen_gb, rel=0.2)


def test_what_the_described_gpus_cannot_hold_is_said_with_its_cure() -> None:
    large = {"name": "llama-70b", "path": "somewhere/Llama-70B"}
    (line,) = figures(models=[large], resources={"gpus": 2})["does_not_fit"]
    assert "llama-70b: training takes about 145 GB in bfloat16, too much for 2 x 80 GB" in line
    assert "3 of them would do, or quantization: nf4" in line
    (line,) = figures(models=[large], resources={"gpus": 4})["does_not_fit"]
    assert "llama-70b: serving takes about 154 GB in bfloat16, too much for 1 x 80 GB" in line
    assert "resources.gpus_per_replica: 4 would do, or fewer resources.rows" in line
    assert figures(models=[large], resources={"gpus": 4, "gpus_per_replica": 4})["does_not_fit"] == []
    assert figures(models=[{**large, "quantization": "nf4"}], resources={"gpus": 2})["does_not_fit"] == []
    assert figures(models=[large])["does_not_fit"] == []


def test_a_bundle_that_the_described_gpus_never_hold_is_named_with_its_setting() -> None:
    two = {"gpus": 2, "gpus_per_trial": 4}
    (line,) = figures(resources=two)["does_not_fit"]
    assert (
        "llama-8b: training takes a bundle of 4 GPUs (resources.gpus_per_trial), which 2 never hold; 1 would do" in line
    )
    (line,) = figures(resources={"gpus": 2, "gpus_per_trial": 0.1})["does_not_fit"]
    assert "too much for 0.1 x 80 GB" in line
    assert "resources.gpus_per_trial: 1 would do" in line


def test_a_plan_shows_how_trials_are_shared_out_and_who_is_served_beside_whom() -> None:
    two = [{"name": "m-8b", "path": "x/m-8b"}, {"name": "n-70b", "path": "x/n-70b"}]
    found = figures(models=two, resources={"gpus": 8, "gpus_per_replica": 4, "pack": 2})
    small, large = (found["placement"]["training"][name] for name in ("m-8b", "n-70b"))
    assert (small["trials"], small["gpus_per_trial"], small["at_once"], small["shares"]) == (6, 1, 8, 3)
    assert (large["gpus_per_trial"], large["at_once"], large["largest_share"]) == (4, 2, 2)
    told = " ".join("\n".join(plan_text.lines(found)).split())
    assert "m-8b: 6 trials, 1 GPU each, 8 at once: in 3 shares of 2 at most, packed up to 2 wide" in told
    assert "n-70b: 6 trials, 4 GPUs each, 2 at once: in 3 shares of 2 at most, trained one after another" in told
    assert "asked: m-8b beside n-70b; a replica has 4 GPUs, 2 at once" in told
    alone = figures(models=two, resources={"gpus": 4, "gpus_per_replica": 4})["placement"]["serving"]["beside"]
    assert alone == [["m-8b"], ["n-70b"]]


@pytest.mark.parametrize("questions", [50, 500, 1625])
def test_what_can_be_found_is_what_statsmodels_says(questions: int) -> None:
    spread = math.sqrt(power.ASSUMED.discordant)
    effect = NormalIndPower().solve_power(nobs1=questions, alpha=0.05, power=0.8, ratio=0)
    assert power.detectable(questions, 1, math.inf) == pytest.approx(100 * spread * effect, rel=1e-3)


def test_seeds_help_and_questions_alone_do_not_reach_beyond_them() -> None:
    by_seeds = [power.detectable(1000, 28, seeds) for seeds in (1, 3, 10)]
    assert by_seeds == sorted(by_seeds, reverse=True)
    alone = math.sqrt(2) * power.ASSUMED.adapter_spread_pp
    assert power.detectable(10**9, 1, 1) == pytest.approx((2.4469 + 0.9057) * alone, rel=1e-3)
    assert power.detectable(10**9, 1, 3) == pytest.approx((4.3027 + 1.0607) * alone / math.sqrt(3), rel=1e-3)


@pytest.mark.parametrize("degrees", [1, 2, 3, 4, 7, 10, 29])
def test_students_quantile_is_scipys(degrees: int) -> None:
    for probability in (0.6, 0.8, 0.975, 0.9999):
        assert quantiles.student(probability, degrees) == pytest.approx(stats.t.ppf(probability, degrees), rel=1e-6)


def test_few_seeds_find_what_a_t_test_of_seeds_finds() -> None:
    effect = TTestPower().solve_power(nobs=5, alpha=0.05, power=0.8)
    found = power.detectable(10**9, 1, 5) / (math.sqrt(2) * power.ASSUMED.adapter_spread_pp)
    assert found == pytest.approx(effect, rel=0.06)


def test_a_plan_says_whether_seeds_or_questions_help_more() -> None:
    assert [power.helps_more(questions, 4, seeds) for questions, seeds in ((50, 10), (2000, 1))] == [
        "questions",
        "seeds",
    ]
    spread = power.Assumed(adapter_spread_pp=0.0)
    assert power.helps_more(10**6, 4, 1, spread) == "questions"
    assert power.detectable(100, 4, 1, spread) == pytest.approx(power.detectable(100, 4, math.inf))
    tasks = {"tasks": [{"name": "triviaqa", "samples": 400}], "grid": "published", "evaluate_at": [2]}
    found = figures(evaluation=tasks)
    assert found["more_helps_most_by_seeds"] == {"1": "seeds", "3": "seeds", "5": "questions", "10": "questions"}
    more = figures(evaluation=tasks, analysis={"seed_spread_pp": 4})
    assert more["assumed"]["adapter_spread_pp"] == 4
    assert more["detectable_effect_pp"] > found["detectable_effect_pp"]
    text = " ".join(" ".join(plan_text.lines(found)).split())
    assert "More seeds help most up to 3, more questions from 5 on." in text
    assert "stray by 4 points from seed to seed (the lab's: 2.3)" in " ".join(" ".join(plan_text.lines(more)).split())


def test_the_lab_needs_no_gpu_and_pays_nobody(root: Path) -> None:
    found = Study.load(root / "configs" / "lab.yaml").plan().counts()
    assert found["gpu_hours"] == found["api_cost_usd"] == found["rewrites"] == 0
    assert found["memory"] == {}


@pytest.mark.parametrize("name", ["pilot", "warmth", "study", "extended"])
def test_attestation_takes_less_than_a_hundredth_of_a_study_s_hours(root: Path, name: str) -> None:
    found = Study.load(root / "configs" / f"{name}.yaml").plan().counts()
    assert 0 < found["gpu_hours_by_stage"]["attesting"] < 0.01 * found["gpu_hours"]
