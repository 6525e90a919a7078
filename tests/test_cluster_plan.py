"""What a study comes to on a cluster: which machines, how long, about how much, and what is said to be unknown."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from orchestrator import Study, clouds, clouds_plan, clouds_prices, clouds_text
from orchestrator.__main__ import main
from orchestrator.documents import read
from orchestrator.estimate import STAGES, Estimate

ROOT = Path(__file__).resolve().parent.parent
AWS = ROOT / "cluster.yaml"
PILOT = ROOT / "configs" / "pilot.yaml"


def planned(study: Study, file: Path = AWS) -> dict[str, Any]:
    return clouds_plan.figures(Estimate(study), clouds.load(file))


def study(*overrides: str) -> Study:
    return Study.load(PILOT, overrides)


def changed(tmp_path: Path, **settings: Any) -> Path:
    """cluster.yaml with other settings at its top."""
    file = tmp_path / "changed.yaml"
    file.write_text(yaml.safe_dump({**read(AWS).content, **settings}))
    return file


def said(figures: dict[str, Any]) -> str:
    return "\n".join(f"{label}: {line}" for label, line in clouds_text.lines(figures))


def test_hours_and_dollars_add_up() -> None:
    found = planned(study())
    (node,) = found["nodes"]
    assert (node["kind"], node["models"], node["gpu"]) == ("one_gpu_spot", ["llama-8b"], "L40S")
    speed = clouds_prices.on_file().gpus["L40S"]["speed"]
    for stage, hours in Estimate(study()).gpu_hours().items():
        stay = node["stages"][stage]
        assert stay["machines"] * stay["hours"] * speed == pytest.approx(hours, rel=1e-3)
    assert node["stages"]["training"]["machines"] == 8
    assert node["stages"]["asking"]["machines"] == 1

    assert node["ready_minutes"] == pytest.approx(
        node["boot_minutes"] + node["install_minutes"] + node["download_minutes"]
    )
    each = (node["ready_minutes"] + node["idle_minutes"]) / 60
    worked = sum(stay["machines"] * stay["hours"] for stay in node["stages"].values())
    assert node["machine_hours"] == pytest.approx(worked + 8 * each, rel=1e-3)
    assert found["hours"] == pytest.approx(
        node["ready_minutes"] / 60 + sum(stay["hours"] for stay in node["stages"].values()), rel=1e-3
    )
    for end in (0, 1):
        assert node["usd"][end] == pytest.approx(node["usd_hour"][end] * node["machine_hours"], rel=1e-3)
        assert found["usd"][end] == pytest.approx(node["usd"][end] + found["head"]["usd"][end], rel=1e-3)
        assert found["usd_without_spot"][end] > found["usd"][end]


def test_fewer_machines_take_longer(tmp_path: Path) -> None:
    two = planned(study(), changed(tmp_path, max_workers=2))["nodes"][0]["stages"]["training"]
    eight = planned(study())["nodes"][0]["stages"]["training"]
    assert two["machines"] == 2
    assert two["hours"] == pytest.approx(4 * eight["hours"], rel=1e-3)


def test_a_model_goes_to_the_smallest_machine_that_holds_it() -> None:
    def kind(name: str, *more: str) -> str:
        (node,) = planned(study(f"models=[{{name: m, path: some/{name}, dtype: bfloat16}}]", SERVED, *more))["nodes"]
        return str(node["kind"])

    assert kind("Llama-8B") == "one_gpu_spot"
    assert kind("Llama-70B", "resources.gpus_per_replica=4") == "four_gpus_spot"
    assert kind("Llama-180B", "resources.gpus_per_replica=8") == "eight_gpus_spot"


SERVED = "rewriting.rewriter.model=m"


def test_what_no_machine_holds_is_said_with_what_would_help() -> None:
    found = planned(study("models=[{name: m, path: some/Llama-400B, dtype: bfloat16}]", SERVED))
    assert found["nodes"] == []
    (line,) = found["does_not_fit"]
    assert line.startswith("models: m: training takes about ")
    assert "quantization: nf4" in line
    assert "(eight_gpus)" in line
    assert f"does not fit: {line}" in said(found)


def test_a_model_of_unknown_size_costs_an_unknown_amount() -> None:
    found = planned(study("models=[{name: m, path: some/model}]", SERVED))
    assert found["hours"] is None
    assert found["usd"] is None
    assert "an unknown time and an unknown amount" in said(found)
    assert "nan" not in said(found)


def test_a_machine_without_a_price_on_file_has_none(tmp_path: Path) -> None:
    kinds = read(AWS).content["available_node_types"]
    kinds["one_gpu_spot"]["node_config"]["InstanceType"] = "g9.4xlarge"
    found = planned(study(), changed(tmp_path, available_node_types=kinds))
    assert found["usd"] is None
    assert found["hours"] > 0
    assert "no price on file of g9.4xlarge" in said(found)


def test_a_study_without_weights_of_ours_needs_no_gpu() -> None:
    found = planned(Study.load(ROOT / "configs" / "lab.yaml"))
    assert (found["nodes"], found["hours"], found["usd"], found["settings"]) == ([], None, None, [])
    assert "no GPU is needed; processors of cpu machines (m7i.4xlarge" in said(found)


def test_machines_that_are_there_have_no_price(tmp_path: Path) -> None:
    job = {
        "apiVersion": "ray.io/v1",
        "kind": "RayJob",
        "metadata": {"name": "a"},
        "spec": {"clusterSelector": {"a": "b"}},
    }
    (tmp_path / "job.yaml").write_text(yaml.safe_dump(job))
    for file in (ROOT / "configs" / "clusters" / "on-premise.yaml", tmp_path / "job.yaml"):
        found = planned(study(), file)
        assert "machines that are there already" in said(found)
        assert "$" not in said(found)


def test_pods_are_counted_and_not_priced() -> None:
    found = planned(study(), ROOT / "configs" / "clusters" / "kuberay-cluster.yaml")
    assert [(node["kind"], node["usd"]) for node in found["nodes"]] == [("one-gpu", None)]
    assert "each taken for an H100" in said(found)


def test_a_run_is_told_what_to_ask_the_cluster_for() -> None:
    found = planned(study())
    assert found["settings"] == ["resources.gpus=8", "resources.gpu_memory_gb=48", "resources.gpus_per_replica=1"]
    told = study(*found["settings"])
    assert [trial.name for trial in told.plan().trials] == [trial.name for trial in study().plan().trials]


def test_engines_at_once_are_what_is_set_or_what_is_in_flight() -> None:
    assert clouds_plan.engines(study("resources.workers=2")) == 1
    assert clouds_plan.engines(study("resources.workers=16", "resources.rows=64")) == 8
    assert clouds_plan.engines(study("resources.workers=16", "resources.replicas={min: 0, max: 3}")) == 3


def test_prices_have_a_date_and_are_no_offer() -> None:
    prices = clouds_prices.on_file()
    assert prices.taken.isoformat() == "2026-11-29"
    assert all(0 < low <= high for low, high in (each["usd"] for each in prices.machines.values()))
    assert all(each["gpu"] in prices.gpus for each in prices.machines.values() if "gpu" in each)
    text = said(planned(study()))
    assert "prices are no offer: taken 2026-11-29, from memory" in text
    assert "Look at your cloud's own page before you spend" in text


def test_every_machine_that_a_shipped_file_names_is_on_file() -> None:
    prices = clouds_prices.on_file()
    for file in (AWS, *(ROOT / "configs" / "clusters" / f"{name}.yaml" for name in ("aws-on-demand", "gcp"))):
        for kind in clouds.node_types(read(file).content):
            known = prices.machines[kind.machine]
            assert known.get("gpus", 0) == kind.gpus


def test_hours_by_model_are_the_studys() -> None:
    estimate = Estimate(Study.load(ROOT / "configs" / "warmth.yaml"))
    by_model = [estimate.gpu_hours_of(model) for model in estimate.study.models]
    assert set(by_model[0]) == set(STAGES)
    for stage, hours in estimate.gpu_hours().items():
        assert sum(each[stage] for each in by_model) == pytest.approx(hours)
        assert not math.isnan(hours)


def test_the_command_says_it_and_refuses_a_file_that_is_open(tmp_path: Path) -> None:
    def warmth(*words: str) -> Any:
        return CliRunner().invoke(main, ["plan", str(PILOT), *words])

    done = warmth("--cluster", str(AWS))
    assert done.exit_code == 0
    assert "8 of one_gpu_spot (g6e.4xlarge, 1 x L40S, spot) for llama-8b" in done.output
    assert json.loads(warmth("--cluster", str(AWS), "--json").output)["cluster"]["nodes"][0]["machines"] == 8

    file = tmp_path / "open.yaml"
    file.write_text(AWS.read_text().replace("RAY_AUTH_MODE=token ray", "ray"))
    refused = warmth("--cluster", str(file))
    assert refused.exit_code == 2
    assert refused.output.count("Ray is started without its token") == 2
    assert warmth("models.0.path=some/Llama-400B", "--cluster", str(AWS)).exit_code == 1
