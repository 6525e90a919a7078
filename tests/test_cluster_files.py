"""Cluster files: the shipped ones are as they should be; a mistake is named with its file, line, setting and cure."""

import copy
import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from orchestrator import clouds
from orchestrator.documents import Document, read
from orchestrator.errors import ConfigError

ROOT = Path(__file__).resolve().parent.parent
SHIPPED = [ROOT / "cluster.yaml", *sorted((ROOT / "configs" / "clusters").glob("*.yaml"))]
OF_RAY = [file for file in SHIPPED if not file.name.startswith("kuberay")]
RAY = re.search(r'"ray\[[^"]*\]==([\d.]+)"', (ROOT / "pyproject.toml").read_text())[1]  # type: ignore[index]

Change = Callable[[dict[str, Any]], Any]


def named(file: Path) -> str:
    return file.stem


@pytest.mark.parametrize("file", SHIPPED, ids=named)
def test_every_shipped_file_may_be_used(file: Path) -> None:
    assert clouds.mistakes(read(file)) == []


@pytest.mark.parametrize("file", [*SHIPPED, ROOT / "configs/clusters/slurm.sh", ROOT / "Dockerfile"], ids=named)
def test_every_shipped_file_says_whether_it_was_run(file: Path) -> None:
    (label,) = re.findall(r"^# Label: (.*)$", file.read_text(), re.MULTILINE)
    assert label.startswith(("ran ", "validated only."))


@pytest.mark.parametrize("file", OF_RAY, ids=named)
def test_who_gets_in_needs_the_token_and_secrets_are_files(file: Path) -> None:
    content = read(file).content
    for role in ("head", "worker"):
        (start,) = (line for line in content[f"{role}_start_ray_commands"] if "ray start" in line)
        assert "RAY_AUTH_MODE=token ray start" in start
        assert "0.0.0.0" not in start
    assert "--dashboard-host=127.0.0.1" in " ".join(content["head_start_ray_commands"])
    assert content["file_mounts"]["~/.ray/auth_token"] == "~/.ray/auth_token"


@pytest.mark.parametrize("name", ["cluster.yaml", "configs/clusters/aws-on-demand.yaml"])
def test_on_aws_no_group_role_or_key_is_of_rays_making(name: str) -> None:
    content = read(ROOT / name).content
    for each in content["available_node_types"].values():
        machine = each["node_config"]
        assert machine["SecurityGroupIds"]
        assert machine["IamInstanceProfile"]
        assert machine["KeyName"]
        assert machine["MetadataOptions"]["HttpTokens"] == "required"
        assert all(disk["Ebs"]["Encrypted"] for disk in machine["BlockDeviceMappings"])
    head, worker = (content["available_node_types"][kind]["node_config"] for kind in ("head", "cpu"))
    assert head["IamInstanceProfile"] != worker["IamInstanceProfile"]
    assert content["provider"]["cache_stopped_nodes"] is False


def test_the_studys_sizes_are_there_on_demand_and_as_spot_which_is_tried_first() -> None:
    kinds = clouds.node_types(read(ROOT / "cluster.yaml").content)
    gpus = {(each.gpus, each.spot): each for each in kinds if each.gpus}
    assert set(gpus) == {(number, spot) for number in (1, 4, 8) for spot in (True, False)}
    assert all(gpus[number, True].priority > gpus[number, False].priority for number in (1, 4, 8))
    assert all(
        each.get("min_workers") == 0 for each in read(ROOT / "cluster.yaml").content["available_node_types"].values()
    )
    demand = clouds.node_types(read(ROOT / "configs/clusters/aws-on-demand.yaml").content)
    assert [each.gpus for each in demand if each.gpus] == [1, 4, 8]
    assert not any(each.spot for each in demand)


def test_what_only_the_user_knows_is_named_once() -> None:
    left = clouds.fill_in(read(ROOT / "cluster.yaml"))
    assert len(left) == 3
    assert re.fullmatch(r".*cluster\.yaml:\d+: SecurityGroupIds: &groups \[sg-FILL-IN\]", left[1])


def test_the_head_may_end_its_own_machines_and_pass_on_the_workers_profile_alone() -> None:
    rules = json.loads((ROOT / "configs/clusters/aws/head.json").read_text())["Statement"]
    content = read(ROOT / "cluster.yaml").content
    worker = content["available_node_types"]["cpu"]["node_config"]["IamInstanceProfile"]["Name"]
    for rule in rules:
        actions = rule["Action"] if isinstance(rule["Action"], list) else [rule["Action"]]
        assert not any("*" in action for action in actions)
        assert rule["Resource"] != "*" or all(action.startswith("ec2:Describe") for action in actions)
    named = {rule["Sid"]: rule for rule in rules}
    ended = named["EndItsOwn"]["Condition"]["StringEquals"]
    assert ended == {"aws:ResourceTag/ray-cluster-name": content["cluster_name"]}
    assert named["GiveTheWorkersTheirProfile"]["Resource"].endswith(f":role/{worker}")


def test_the_same_ray_everywhere() -> None:
    assert f"ray=={RAY}" in (ROOT / "requirements" / "gpu.txt").read_text().split()
    assert f"ARG RAY_VERSION={RAY}" in (ROOT / "Dockerfile").read_text()
    assert read(ROOT / "configs/clusters/kuberay-cluster.yaml").content["spec"]["rayVersion"] == RAY


def test_the_image_is_made_by_the_makefiles_steps_and_not_run_as_root() -> None:
    text = (ROOT / "Dockerfile").read_text()
    users = re.findall(r"^USER (\w+)$", text, re.MULTILINE)
    assert users == ["warmth"]
    assert "make setup-gpu" in text
    assert "pip install" not in text
    assert "setup-gpu:" in (ROOT / "Makefile").read_text()
    ignored = (ROOT / ".dockerignore").read_text().split()
    assert {".git", ".venv", "runs", "**/auth_token"} <= set(ignored)


def test_the_slurm_script_is_read_by_bash_and_keeps_jobs_apart() -> None:
    file = ROOT / "configs/clusters/slurm.sh"
    subprocess.run(["bash", "-n", str(file)], check=True)
    text = file.read_text()
    for part in (
        "ray symmetric-run",
        "--dashboard-host=127.0.0.1",
        "RAY_AUTH_MODE=token",
        "HF_HUB_OFFLINE=1",
        "--requeue",
    ):
        assert part in text
    assert "port=$((20000 + SLURM_JOB_ID % 10000))" in text
    assert '--temp-dir="$RAY_TMPDIR"' in text


# ------------------------------------------------------------------------------------- mistakes
def changed(change: Change, name: str = "cluster.yaml") -> list[str]:
    """What is said about a shipped file after a change."""
    document = read(ROOT / name)
    content = copy.deepcopy(document.content)
    change(content)
    return clouds.mistakes(Document(name, content, dict.fromkeys(document.places, "x:1")))


def machine(content: dict[str, Any], kind: str = "one_gpu") -> dict[str, Any]:
    found: dict[str, Any] = content["available_node_types"][kind]["node_config"]
    return found


AWS: list[tuple[Change, str]] = [
    (lambda c: c.pop("provider"), "provider: this setting is missing"),
    (lambda c: c.__setitem__("wibble", 1), "wibble: Ray knows no such setting"),
    (lambda c: c.__setitem__("idle_timeout_minutes", "5"), "idle_timeout_minutes: Ray refuses this"),
    (lambda c: c["auth"].__setitem__("ssh_port", 22), "auth.ssh_port: Ray knows no such setting"),
    (
        lambda c: c["available_node_types"]["one_gpu"].__setitem__("resources", {"GPU": 0.5}),
        "resources.GPU: Ray refuses",
    ),
    (lambda c: c.__setitem__("head_node_type", "boss"), "head_node_type"),
    (
        lambda c: c["available_node_types"]["one_gpu"].__setitem__("min_workers", 9),
        r"min_workers: 9 at least, and 4 at most",
    ),
    (lambda c: machine(c).__setitem__("InstnceType", "x"), "InstnceType: RunInstances .*; did you mean 'InstanceType'"),
    (lambda c: machine(c).__setitem__("EbsOptimized", "yes"), "EbsOptimized: 'yes' is no boolean"),
    (
        lambda c: machine(c).__setitem__("InstanceMarketOptions", {"MarketType": "spott"}),
        "MarketType: 'spott' is none of RunInstances' choices; did you mean 'spot'",
    ),
    (lambda c: machine(c, "cpu").pop("SecurityGroupIds"), r"cpu.node_config.SecurityGroupIds: .* name your own"),
    (lambda c: machine(c, "head").pop("IamInstanceProfile"), "head.node_config.IamInstanceProfile: .* EC2 and S3"),
    (lambda c: machine(c).pop("KeyName"), "KeyName: this setting is missing"),
    (
        lambda c: c["provider"].__setitem__("security_group", {"GroupName": "mine"}),
        "provider.security_group: Ray adds SSH",
    ),
    (
        lambda c: c["auth"].__setitem__("ssh_private_key", "~/.ssh/id_ed25519"),
        "ssh_private_key: .* for this cluster alone",
    ),
    (lambda c: c.pop("worker_start_ray_commands"), "worker_start_ray_commands: Ray is started without its token"),
    (
        lambda c: c.__setitem__(
            "head_start_ray_commands", ["RAY_AUTH_MODE=token ray start --head --dashboard-host=0.0.0.0"]
        ),
        r"head_start_ray_commands.0: the dashboard .* --dashboard-host=127.0.0.1",
    ),
    (
        lambda c: c.__setitem__("worker_start_ray_commands", ["ray start --address=$RAY_HEAD_IP:6379"]),
        r"worker_start_ray_commands.0: Ray is started without its token",
    ),
    (lambda c: c["file_mounts"].pop("~/.ray/auth_token"), "file_mounts: no machine gets the token"),
    (lambda c: c["file_mounts"].__setitem__("keys", "~/keys"), "file_mounts.keys: a place on the machines is whole"),
    (
        lambda c: c["setup_commands"].append("export HF_TOKEN=hf_" + "a" * 30),
        "setup_commands.4: this looks like a secret",
    ),
    (lambda c: c["setup_commands"].append("ufw allow from 0.0.0.0/0"), "setup_commands.4: .* every address"),
]


@pytest.mark.parametrize(("change", "said"), AWS, ids=[said[:40] for _, said in AWS])
def test_a_mistake_in_a_file_for_aws_is_named(change: Change, said: str) -> None:
    found = changed(change)
    assert len([line for line in found if re.search(said, line)]) >= 1, found
    assert all(re.match(r"(x:1|cluster\.yaml): \S+: ", line) for line in found), found


GCP: list[tuple[Change, str]] = [
    (
        lambda c: machine(c).pop("networkInterfaces"),
        "one_gpu.node_config.networkInterfaces: .* name your own subnetwork",
    ),
    (lambda c: machine(c, "head").pop("serviceAccounts"), "head.node_config.serviceAccounts: .* name one of its own"),
    (lambda c: c["head_start_ray_commands"].clear(), "head_start_ray_commands: the dashboard may listen"),
]


@pytest.mark.parametrize(("change", "said"), GCP, ids=[said[:40] for _, said in GCP])
def test_a_mistake_in_a_file_for_google_is_named(change: Change, said: str) -> None:
    assert any(re.search(said, line) for line in changed(change, "configs/clusters/gcp.yaml"))


KUBERAY: list[tuple[Change, str]] = [
    (lambda c: c["spec"].pop("authOptions"), r"spec.authOptions.mode: .* `authOptions: \{mode: token\}`"),
    (lambda c: c["spec"]["authOptions"].__setitem__("mode", "tokn"), "spec.authOptions.mode: KubeRay's CRD refuses"),
    (
        lambda c: c["spec"].__setitem__("headGroup", {}),
        "spec.headGroup: KubeRay's CRD knows no such .*; did you mean 'headGroupSpec'",
    ),
    (
        lambda c: c["spec"].pop("headGroupSpec"),
        "spec.headGroupSpec: this setting is missing, which KubeRay's CRD needs",
    ),
    (lambda c: c["spec"]["headGroupSpec"]["rayStartParams"].clear(), "dashboard-host: every pod may reach"),
    (
        lambda c: c["spec"]["headGroupSpec"]["rayStartParams"].__setitem__("num-cpus", 0),
        "num-cpus: .* 0 is not of type",
    ),
    (
        lambda c: c["spec"]["headGroupSpec"].__setitem__("serviceType", "LoadBalancer"),
        "headGroupSpec: the head can be reached",
    ),
    (
        lambda c: c["spec"]["workerGroupSpecs"][1].__setitem__("minReplicas", 9),
        "workerGroupSpecs.1.minReplicas: 9 at least",
    ),
    (
        lambda c: c["spec"]["workerGroupSpecs"][0].pop("groupName"),
        "workerGroupSpecs.0.groupName: this setting is missing",
    ),
    (
        lambda c: c["spec"]["workerGroupSpecs"][0]["template"]["spec"]["containers"][0].__setitem__("imagee", "x"),
        "containers.0.imagee: .*; did you mean 'image'",
    ),
    (
        lambda c: c["spec"]["workerGroupSpecs"][0]["template"]["spec"].pop("securityContext"),
        "runAsNonRoot: the pod may run as root",
    ),
    (lambda c: c.__setitem__("kind", "RayClutser"), "kind: 'RayClutser' is not one of RayCluster, RayJob"),
]


@pytest.mark.parametrize(("change", "said"), KUBERAY, ids=[said[:40] for _, said in KUBERAY])
def test_a_mistake_in_a_manifest_is_named(change: Change, said: str) -> None:
    found = changed(change, "configs/clusters/kuberay-cluster.yaml")
    assert any(re.search(said, line) for line in found), found


def test_a_job_with_a_cluster_of_its_own_is_held_to_the_same() -> None:
    def own(content: dict[str, Any]) -> None:
        cluster = content.pop("spec")
        cluster.pop("authOptions")
        content |= {"kind": "RayJob", "spec": {"entrypoint": "warmth run study.yaml", "rayClusterSpec": cluster}}

    (line,) = changed(own, "configs/clusters/kuberay-cluster.yaml")
    assert "spec.rayClusterSpec.authOptions.mode" in line


def test_a_users_own_file_is_refused_with_its_line(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    text = (ROOT / "cluster.yaml").read_text().replace("--dashboard-host=127.0.0.1", "--dashboard-host=0.0.0.0")
    file.write_text(text)
    with pytest.raises(ConfigError) as refused:
        clouds.load(file)
    line = text[: text.index("head_start_ray_commands")].count("\n") + 3
    (said,) = refused.value.mistakes
    assert said.startswith(f"{file}:{line}: head_start_ray_commands.1: the dashboard")


def test_an_image_does_in_place_of_installing() -> None:
    def image(content: dict[str, Any]) -> None:
        content["docker"] = {
            "image": "example.com/warmth:0.1.0",
            "container_name": "warmth",
            "run_options": ["--shm-size=16g"],
        }
        content["setup_commands"] = []

    assert changed(image) == []


def test_what_is_merged_in_may_be_set_again(tmp_path: Path) -> None:
    file = tmp_path / "merged.yaml"
    file.write_text("a: &a {x: 1, y: 2}\nb: {<<: *a, y: 3}\nc: {<<: *a, z: 4}\nd: {x: 1, x: 2}\n")
    with pytest.raises(ConfigError) as refused:
        read(file)
    assert refused.value.mistakes == [f"{file}:4: d.x: set twice; keep one"]
    file.write_text(file.read_text().replace("d: {x: 1, x: 2}\n", ""))
    assert read(file).content["b"] == {"x": 1, "y": 3}


def test_what_ray_would_start_is_what_was_looked_at() -> None:
    """Anchors and aliases, which ours follow by themselves, come out as PyYAML's, which Ray reads with."""
    for file in SHIPPED:
        assert read(file).content == yaml.safe_load(file.read_text())
