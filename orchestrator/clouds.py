"""Cluster files: what `ray up` and KubeRay are given, and what is wrong with one before it costs anything.

Ray reads what it knows and passes over the rest: it starts a dashboard that is open to the world, machines without a
token, machines whose settings hold a typing error. Here these are mistakes, with file, line, setting and cure.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from . import clouds_aws, clouds_kuberay, clouds_policy, clouds_schema
from .documents import Document, Where, read
from .errors import ConfigError

FILL_IN = "FILL-IN"
"""Stands in a shipped file for what only its user knows."""


class NodeType(NamedTuple):
    """One kind of machine that a cluster may have."""

    name: str
    machine: str
    "What its cloud calls it, for instance g6e.4xlarge; empty where a file does not say."
    gpus: int
    cpus: int
    most: int
    "Machines of this kind at once."
    spot: bool
    priority: int
    head: bool


def load(file: Path) -> Document:
    """A cluster file that may be used. Raises ConfigError naming every mistake in it."""
    document = read(file)
    found = mistakes(document)
    if found:
        raise ConfigError(found)
    return document


def mistakes(document: Document) -> list[str]:
    """What is wrong in a cluster file, a line each: `file:line: setting: what; the cure`."""
    return [f"{document.place(where)}: {'.'.join(map(str, where))}: {what}" for where, what in _found(document.content)]


def _found(content: dict[str, Any]) -> Iterator[tuple[Where, str]]:
    if clouds_kuberay.is_one(content):
        yield from clouds_kuberay.mistakes(content)
    elif not isinstance(content.get("provider"), dict):
        yield (
            ("provider",),
            "this setting is missing; `provider: {type: aws, region: ...}` says whose machines they are",
        )
    else:
        yield from _of_ray(content)


def _of_ray(content: dict[str, Any]) -> Iterator[tuple[Where, str]]:
    """Ray's own reading of a file first: where that fails, ours would stumble over the same."""
    refused = list(clouds_schema.mistakes(content))
    yield from refused
    if not refused:
        yield from clouds_policy.mistakes(content)
        if content["provider"]["type"] == "aws":
            yield from clouds_aws.mistakes(content)


def fill_in(document: Document) -> list[str]:
    """The lines that still hold a placeholder, as `file:line: what stands there`."""
    lines = Path(document.file).read_text(encoding="utf-8").splitlines()
    found = ((number, line.split(" #")[0].strip()) for number, line in enumerate(lines, 1) if not line.startswith("#"))
    return [f"{document.file}:{number}: {line}" for number, line in found if FILL_IN in line]


def node_types(content: dict[str, Any]) -> list[NodeType]:
    """The kinds of machines that a cluster file names; none for machines that are there anyway."""
    if clouds_kuberay.is_one(content):
        return [NodeType(*each) for each in clouds_kuberay.groups(content)]
    named = content.get("available_node_types") or {}
    return [_node_type(name, each, name == content.get("head_node_type")) for name, each in named.items()]


def _node_type(name: str, said: dict[str, Any], head: bool) -> NodeType:
    machine, resources = said["node_config"], said["resources"]
    scheduling = machine.get("scheduling") or [{}]
    spot = machine.get("InstanceMarketOptions", {}).get("MarketType") == "spot" or any(
        each.get("provisioningModel") == "SPOT" or each.get("preemptible") for each in scheduling
    )
    kind = machine.get("InstanceType") or machine.get("machineType") or ""
    return NodeType(
        name, kind, resources.get("GPU", 0), resources.get("CPU", 0), said.get("max_workers", 0), spot,
        said.get("priority", 0), head,
    )  # fmt: skip
