"""What Ray's AWS provider makes of the shipped files, in an account that moto plays: nothing reaches a cloud."""

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto import mock_aws
from ray.autoscaler._private.aws import config as bootstrap
from ray.autoscaler._private.aws import node_provider, utils
from ray.autoscaler._private.aws.node_provider import AWSNodeProvider
from ray.autoscaler._private.util import prepare_config, validate_config

from orchestrator.documents import read

ROOT = Path(__file__).resolve().parent.parent
OPERATOR = "203.0.113.7/32"
pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:datetime.datetime.utcnow:DeprecationWarning"),
]

Config = dict[str, Any]


@pytest.fixture(scope="module")
def machines() -> list[Config]:
    """Every kind of machine there is, which moto takes half a minute to list."""
    with mock_aws():
        found: list[Config] = node_provider.list_ec2_instances("us-east-1")
    return found


@pytest.fixture(autouse=True)
def account(machines: list[Config], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An empty account, a home folder without keys of anybody's, and a Ray that remembers no other account."""
    for name, value in {
        "AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing", "AWS_DEFAULT_REGION": "us-east-1",
        "HOME": str(tmp_path),
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    (tmp_path / ".ssh").mkdir()
    (tmp_path / ".ssh" / "warmth-cluster.pem").touch(0o600)
    monkeypatch.setattr(node_provider, "list_ec2_instances", lambda *_: copy.deepcopy(machines))
    utils.resource_cache.cache_clear()
    utils.client_cache.cache_clear()
    with mock_aws():
        yield


def filled_in(name: str) -> Config:
    """A shipped file with what the README has its user make: an image, a key pair, a group, two profiles."""
    ec2, iam = boto3.client("ec2"), boto3.client("iam")
    ec2.create_key_pair(KeyName="warmth-cluster")
    network = ec2.describe_vpcs()["Vpcs"][0]["VpcId"]
    group = ec2.create_security_group(GroupName="warmth", Description="warmth", VpcId=network)["GroupId"]
    among = {"IpProtocol": "-1", "UserIdGroupPairs": [{"GroupId": group}]}
    ssh = {"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "IpRanges": [{"CidrIp": OPERATOR}]}
    ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[among, ssh])
    for profile in ("warmth-head", "warmth-worker"):
        iam.create_instance_profile(InstanceProfileName=profile)
    content: Config = copy.deepcopy(read(ROOT / name).content)
    for each in content["available_node_types"].values():
        machine = each["node_config"]
        machine |= {"ImageId": ec2.describe_images()["Images"][0]["ImageId"], "SecurityGroupIds": [group]}
    return content


def bootstrapped(content: Config) -> Config:
    """As `ray up` does it before it starts the head."""
    config = AWSNodeProvider.fillout_available_node_types_resources(prepare_config(content))
    validate_config(config)
    found: Config = bootstrap.bootstrap_aws(config)
    return found


@pytest.mark.parametrize("name", ["cluster.yaml", "configs/clusters/aws-on-demand.yaml"])
def test_ray_takes_our_group_and_profiles_and_makes_none_of_its_own(name: str) -> None:
    content = filled_in(name)
    group = content["available_node_types"]["head"]["node_config"]["SecurityGroupIds"]
    made = bootstrapped(copy.deepcopy(content))
    ec2 = boto3.client("ec2")

    assert {each["GroupName"] for each in ec2.describe_security_groups()["SecurityGroups"]} == {"default", "warmth"}
    assert boto3.client("iam").list_roles()["Roles"] == []
    (rules,) = ec2.describe_security_groups(GroupIds=group)["SecurityGroups"]
    assert [each["CidrIp"] for rule in rules["IpPermissions"] for each in rule["IpRanges"]] == [OPERATOR]
    for kind, each in made["available_node_types"].items():
        machine, own = each["node_config"], content["available_node_types"][kind]["node_config"]
        assert machine["SecurityGroupIds"] == group
        assert machine["IamInstanceProfile"] == own["IamInstanceProfile"]
        assert machine["KeyName"] == "warmth-cluster"
        assert machine["SubnetIds"]
        assert machine.get("InstanceMarketOptions") == own.get("InstanceMarketOptions")


def test_the_machines_that_start_are_the_ones_that_were_meant() -> None:
    made = bootstrapped(filled_in("cluster.yaml"))
    for kind, gpus, gpu in (("one_gpu_spot", 1, "L40S"), ("four_gpus", 4, "L40S"), ("eight_gpus_spot", 8, "H100")):
        resources = made["available_node_types"][kind]["resources"]
        assert resources["GPU"] == gpus
        assert f"accelerator_type:{gpu}" in resources, resources
    provider = AWSNodeProvider(made["provider"], made["cluster_name"])
    for kind in ("head", "one_gpu_spot", "eight_gpus"):
        provider.create_node(made["available_node_types"][kind]["node_config"], tags(kind), 1)
    started = {tag(each, "ray-user-node-type"): each for each in running()}
    assert started["one_gpu_spot"]["InstanceLifecycle"] == "spot"
    assert "InstanceLifecycle" not in started["eight_gpus"]
    assert [started[kind]["InstanceType"] for kind in ("head", "one_gpu_spot", "eight_gpus")] == [
        "m7i.2xlarge", "g6e.4xlarge", "p5.48xlarge",
    ]  # fmt: skip
    assert started["head"]["IamInstanceProfile"]["Arn"].endswith("/warmth-head")
    assert started["one_gpu_spot"]["IamInstanceProfile"]["Arn"].endswith("/warmth-worker")

    provider.terminate_nodes(provider.non_terminated_nodes({}))
    assert running() == []


def test_what_the_policy_refuses_is_what_would_have_been_open() -> None:
    """The reason for the rules: left to itself, Ray lets SSH in from everywhere."""
    content = filled_in("cluster.yaml")
    for each in content["available_node_types"].values():
        del each["node_config"]["SecurityGroupIds"]
    bootstrapped(content)
    groups = boto3.client("ec2").describe_security_groups()["SecurityGroups"]
    (own,) = (each for each in groups if each["GroupName"].startswith("ray-autoscaler"))
    assert "0.0.0.0/0" in [each["CidrIp"] for rule in own["IpPermissions"] for each in rule["IpRanges"]]


def tags(kind: str) -> dict[str, str]:
    return {
        "ray-node-type": "head" if kind == "head" else "worker", "ray-user-node-type": kind, "ray-node-name": kind,
        "ray-node-status": "uninitialized", "ray-launch-config": "none",
    }  # fmt: skip


def running() -> list[dict[str, Any]]:
    found = boto3.client("ec2").describe_instances()["Reservations"]
    return [each for one in found for each in one["Instances"] if each["State"]["Name"] == "running"]


def tag(machine: dict[str, Any], name: str) -> str:
    return str(next(each["Value"] for each in machine["Tags"] if each["Key"] == name))
