"""What machines in a cloud have, and about what they cost; from a file that says when and where that was taken."""

import functools
from datetime import date
from importlib.resources import files
from typing import Any, NamedTuple

import yaml

from .clouds import NodeType

Range = tuple[float, float]
"""The lowest and the highest that something may be."""


class Machine(NamedTuple):
    """One kind of machine, as far as it is known."""

    gpu: str | None
    memory_gb: float | None
    "Of each GPU."
    speed: float
    "Of a GPU, in an H100's."
    usd_hour: Range | None
    "None where no price is on file."
    boot_minutes: float
    known: bool


class Prices(NamedTuple):
    """The whole of `clouds_prices.yaml`."""

    taken: date
    where: str
    spot_share: Range
    egress_usd_gb: float
    gpus: dict[str, dict[str, float]]
    machines: dict[str, dict[str, Any]]
    install_minutes: float
    download_gb_s: float

    def machine(self, kind: NodeType) -> Machine:
        """What a kind of node is; one that is not on file may be anything, and has an H100's speed."""
        found = self.machines.get(kind.machine)
        if found is None:
            return Machine(None, None, 1.0, None, UNKNOWN_BOOT, False)
        gpu = self.gpus.get(found.get("gpu", ""), {})
        low, high = found["usd"]
        share = self.spot_share if kind.spot else (1.0, 1.0)
        usd = (low * share[0], high * share[1])
        return Machine(found.get("gpu"), gpu.get("memory_gb"), gpu.get("speed", 1.0), usd, found["boot"], True)


UNKNOWN_BOOT = 5.0
"""Minutes that a machine takes to start, where none are on file."""


@functools.cache
def on_file() -> Prices:
    """The prices that come with the project."""
    return Prices(**yaml.safe_load((files("orchestrator") / "clouds_prices.yaml").read_text(encoding="utf-8")))
