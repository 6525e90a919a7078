"""What a cluster must not be, whatever starts it: open to strangers, without token, its secrets in its file. Pure."""

import re
from collections.abc import Callable, Iterator
from typing import Any

from .documents import Where

Content = dict[str, Any]
Mistakes = Iterator[tuple[Where, str]]

TOKEN = "RAY_AUTH_MODE=token"
LOOPBACK = re.compile(r"--dashboard-host[= ](127\.0\.0\.1|localhost|::1)(\s|$)|--include-dashboard[= ]false")
WORLD = re.compile(r"(?<![\d.])0\.0\.0\.0/0|(?<![\w:])::/0")
SECRET = re.compile(r"AKIA[0-9A-Z]{16}|\bhf_[A-Za-z0-9]{20,}|\bsk-[A-Za-z0-9_-]{20,}|-----BEGIN [A-Z ]*PRIVATE KEY")
OWN_KEYS = re.compile(r"\.ssh/id_\w+$")


def mistakes(content: Content) -> Mistakes:
    """What is wrong with a file that Ray accepts; the rules of its cloud too."""
    for rule in (*EVERYWHERE, *BY_PROVIDER.get(content["provider"]["type"], ())):
        yield from rule(content)


def token(content: Content) -> Mistakes:
    """Without the token, whoever reaches a port runs what they like."""
    for role in ("head", "worker"):
        setting = f"{role}_start_ray_commands"
        for where, command in _starts(content, setting):
            if TOKEN not in command:
                yield where, f"Ray is started without its token; write `{TOKEN} ray start ...`"
    if not any(path.endswith(".ray/auth_token") for path in content.get("file_mounts") or {}):
        yield ("file_mounts",), "no machine gets the token; `~/.ray/auth_token: ~/.ray/auth_token` copies it"


def dashboard(content: Content) -> Mistakes:
    """The dashboard runs jobs: it listens on the head's own loopback, and one reaches it through SSH."""
    for where, command in _starts(content, "head_start_ray_commands"):
        if not LOOPBACK.search(command):
            yield where, "the dashboard may listen to other machines; add --dashboard-host=127.0.0.1"


def _starts(content: Content, setting: str) -> Mistakes:
    """The commands that start Ray; that there are none is a mistake of `setting`, said by an empty command's place."""
    said = content.get(setting) or ()
    starts = [number for number, command in enumerate(said) if "ray start" in command]
    for number in starts:
        yield (setting, number), said[number]
    if not starts:
        yield (setting,), ""


def world(content: Content) -> Mistakes:
    """Nothing is open to every address."""
    for where, text in texts(content):
        if WORLD.search(text):
            yield where, f"{text!r} lets in every address there is; name your own, as 203.0.113.7/32"


def secrets(content: Content) -> Mistakes:
    """A cluster file is shown, mailed and committed."""
    for where, text in texts(content):
        if SECRET.search(text):
            yield where, "this looks like a secret; keep it in a file of its own and name that under file_mounts"


def key(content: Content) -> Mistakes:
    """Ray copies the private key to the head: whoever gets in there has it."""
    private = (content.get("auth") or {}).get("ssh_private_key")
    if private and OWN_KEYS.search(private):
        yield (
            ("auth", "ssh_private_key"),
            f"{private} is copied to the head; make one for this cluster alone (ssh-keygen)",
        )


def counts(content: Content) -> Mistakes:
    """Ray accepts a kind of machine of which there must be more than there may be."""
    for name, each in types(content):
        least, most = each.get("min_workers", 0), each.get("max_workers", content.get("max_workers", 0))
        if least > most:
            yield (
                (*name, "min_workers"),
                f"{least} at least, and {most} at most (max_workers); raise one or lower the other",
            )


def mounted(content: Content) -> Mistakes:
    """A file's place on the machines is theirs, not this machine's."""
    for path in content.get("file_mounts") or {}:
        if not path.startswith(("/", "~")):
            yield ("file_mounts", path), "a place on the machines is whole: /home/... or ~/..."


def _google(content: Content) -> Mistakes:
    """A network whose firewall is known, and an account that may do no more than it must."""
    for name, each in types(content):
        if not each["node_config"].get("networkInterfaces"):
            yield (
                (*name, "node_config", "networkInterfaces"),
                "this setting is missing: Ray takes any network of the project's; name your own subnetwork",
            )
        if not each["node_config"].get("serviceAccounts"):
            yield (
                (*name, "node_config", "serviceAccounts"),
                "this setting is missing: the machine acts as the project's default account; name one of its own",
            )


def types(content: Content) -> Iterator[tuple[Where, dict[str, Any]]]:
    """Each kind of machine and where it stands."""
    for name, each in (content.get("available_node_types") or {}).items():
        yield ("available_node_types", name), each


def texts(value: Any, where: Where = ()) -> Iterator[tuple[Where, str]]:
    """Every text in a file and where it stands, keys of settings not counted."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, each in inner:
        yield from texts(each, (*where, key))
    if isinstance(value, str):
        yield where, value


Rule = Callable[[Content], Mistakes]
EVERYWHERE: tuple[Rule, ...] = (token, dashboard, world, secrets, key, counts, mounted)
BY_PROVIDER: dict[str, tuple[Rule, ...]] = {"gcp": (_google,)}
