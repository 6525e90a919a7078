"""Manifests for KubeRay: held to its CRD's rules, which Ray's own validator knows nothing of, and to our policy."""

import functools
import json
from collections.abc import Iterator
from importlib.resources import files
from typing import Any

from . import clouds_policy, clouds_schema
from .clouds_policy import Content, Mistakes
from .documents import Where

KINDS = ("RayCluster", "RayJob")
GPU = "nvidia.com/gpu"


def is_one(content: Content) -> bool:
    """Whether a file is a Kubernetes object, and no cluster file of Ray's."""
    return "apiVersion" in content or "kind" in content


@functools.cache
def schema() -> dict[str, Any]:
    """The rules, and in `$comment` where they are from."""
    return dict(json.loads((files("orchestrator") / "kuberay_schema.json").read_text(encoding="utf-8")))


def mistakes(content: Content) -> Mistakes:
    """What is wrong with a RayCluster or a RayJob."""
    if content.get("kind") not in KINDS:
        yield ("kind",), f"{content.get('kind')!r} is not one of {', '.join(KINDS)}"
        return
    refused = list(_refused(content))
    yield from refused
    if not refused:
        yield from clouds_policy.world(content)
        yield from clouds_policy.secrets(content)
        where, cluster = _cluster(content)
        if cluster:
            yield from ((where + place, what) for place, what in _policy(cluster))


def _refused(content: Content) -> Mistakes:
    import jsonschema

    rules = {**schema(), "$ref": f"#/definitions/{content['kind']}"}
    for error in jsonschema.Draft7Validator(rules).iter_errors(content):
        yield clouds_schema.refused(error, "KubeRay's CRD")


def _cluster(content: Content) -> tuple[tuple[str, ...], Content]:
    """Where a file describes a cluster, and how; nothing where a job goes to one that is there."""
    if content["kind"] == "RayCluster":
        return ("spec",), content["spec"]
    return ("spec", "rayClusterSpec"), content["spec"].get("rayClusterSpec") or {}


def _policy(cluster: Content) -> Mistakes:
    if (cluster.get("authOptions") or {}).get("mode") != "token":
        yield ("authOptions", "mode"), "whoever reaches a port runs what they like; write `authOptions: {mode: token}`"
    head = cluster["headGroupSpec"]
    if (head.get("rayStartParams") or {}).get("dashboard-host") not in ("127.0.0.1", "localhost"):
        yield (
            ("headGroupSpec", "rayStartParams", "dashboard-host"),
            "every pod may reach the dashboard; write `dashboard-host: 127.0.0.1`, which port-forward reaches",
        )
    if head.get("serviceType", "ClusterIP") != "ClusterIP" or head.get("enableIngress"):
        yield (
            ("headGroupSpec",),
            "the head can be reached from outside; `serviceType: ClusterIP` and no ingress keep it in",
        )
    for number, group in enumerate(cluster.get("workerGroupSpecs") or ()):
        if group["minReplicas"] > group["maxReplicas"]:
            yield (
                ("workerGroupSpecs", number, "minReplicas"),
                f"{group['minReplicas']} at least, and {group['maxReplicas']} at most (maxReplicas)",
            )
    yield from _users(cluster)


def _users(cluster: Content) -> Mistakes:
    pods: list[tuple[Where, Content]] = [(("headGroupSpec",), cluster["headGroupSpec"])]
    pods += [(("workerGroupSpecs", number), each) for number, each in enumerate(cluster.get("workerGroupSpecs") or ())]
    for where, group in pods:
        if not (group["template"]["spec"].get("securityContext") or {}).get("runAsNonRoot"):
            yield (
                (*where, "template", "spec", "securityContext", "runAsNonRoot"),
                "the pod may run as root; write `securityContext: {runAsNonRoot: true, runAsUser: 1000}`",
            )


def groups(content: Content) -> Iterator[tuple[str, str, int, int, int, bool, int, bool]]:
    """Each kind of pod, as `clouds.NodeType` has it: name, machine (none), GPUs, CPUs, most, spot, priority, head."""
    _, cluster = _cluster(content)
    if not cluster:
        return
    yield "head", "", *_size(cluster["headGroupSpec"]), 0, False, 0, True
    for each in cluster.get("workerGroupSpecs") or ():
        yield each["groupName"], "", *_size(each), each["maxReplicas"], False, each.get("priority", 0), False


def _size(group: Content) -> tuple[int, int]:
    """GPUs and whole CPUs of a pod's first container, which is Ray's."""
    limits = (group["template"]["spec"]["containers"][0].get("resources") or {}).get("limits") or {}
    cpu = str(limits.get("cpu", 0))
    return int(limits.get(GPU, 0)), int(cpu[:-1]) // 1000 if cpu.endswith("m") else int(float(cpu))
