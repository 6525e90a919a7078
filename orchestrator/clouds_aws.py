"""What AWS asks of a cluster file, and Ray lets pass: security groups, profiles, keys, the settings of RunInstances."""

import functools
from collections.abc import Iterator
from typing import Any

from .clouds_policy import Content, Mistakes, types
from .documents import Where, suggestion

RAYS_OWN = ("SubnetIds",)
"""Settings of a machine that Ray turns into RunInstances' before it calls."""

KINDS: dict[str, Any] = {
    "string": str, "blob": str, "timestamp": str, "integer": int, "long": int, "float": (int, float),
    "double": (int, float), "boolean": bool,
}  # fmt: skip
GROWING = "InstanceType"
"""Its values grow by the month: one that botocore does not know may well be there."""


def mistakes(content: Content) -> Mistakes:
    """What is wrong with a file for AWS."""
    if "security_group" in content["provider"]:
        yield (
            ("provider", "security_group"),
            "Ray adds SSH from every address (0.0.0.0/0) to a group that it makes; make your own, give every kind of "
            "machine its SecurityGroupIds, and take this out",
        )
    yield from _profile(content)
    for where, each in types(content):
        yield from _machine(content, (*where, "node_config"), each["node_config"])


def _profile(content: Content) -> Mistakes:
    """Without one, the head is given the whole of EC2 and S3."""
    head = content.get("head_node_type")
    machine = (content.get("available_node_types") or {}).get(head, {}).get("node_config", {})
    if not machine.get("IamInstanceProfile"):
        yield (
            ("available_node_types", str(head), "node_config", "IamInstanceProfile"),
            "this setting is missing: Ray makes a role that may do anything to EC2 and S3; name a profile of your own",
        )


def _machine(content: Content, where: Where, machine: dict[str, Any]) -> Mistakes:
    if not machine.get("SecurityGroupIds"):
        yield (
            (*where, "SecurityGroupIds"),
            "this setting is missing: Ray makes a group that lets SSH in from every address (0.0.0.0/0); name your own",
        )
    if (content.get("auth") or {}).get("ssh_private_key") and not machine.get("KeyName"):
        yield (*where, "KeyName"), "this setting is missing: the key pair that auth.ssh_private_key belongs to"
    asked = {name: value for name, value in machine.items() if name not in RAYS_OWN}
    shape = run_instances()
    if shape is not None:
        yield from _misfits(shape, asked, where)


@functools.cache
def run_instances() -> Any:
    """The shape of what EC2's RunInstances takes, as botocore has it; None where botocore is not installed."""
    try:
        from botocore.loaders import Loader
        from botocore.model import ServiceModel
    except ModuleNotFoundError:
        return None
    ec2 = ServiceModel(Loader().load_service_model("ec2", "service-2"), "ec2")
    return ec2.operation_model("RunInstances").input_shape


def _misfits(shape: Any, value: Any, where: Where) -> Iterator[tuple[Where, str]]:
    """Where a value is none of a shape: unknown names, wrong kinds, values that are no choice."""
    if shape.type_name == "structure" and isinstance(value, dict):
        for name, inner in value.items():
            if name in shape.members:
                yield from _misfits(shape.members[name], inner, (*where, name))
            else:
                yield (*where, name), "RunInstances has no such setting" + suggestion(name, shape.members)
    elif shape.type_name == "list" and isinstance(value, list):
        for number, inner in enumerate(value):
            yield from _misfits(shape.member, inner, (*where, number))
    elif not _fits(shape, value):
        yield where, f"{value!r} is no {shape.type_name}"
    elif shape.type_name == "string" and where[-1] != GROWING and shape.enum and value not in shape.enum:
        yield where, f"{value!r} is none of RunInstances' choices" + suggestion(value, shape.enum)


def _fits(shape: Any, value: Any) -> bool:
    if isinstance(value, bool):
        return bool(shape.type_name == "boolean")
    return isinstance(value, KINDS.get(shape.type_name, ()))
