"""What attestation takes, how often it is wrong about honest adapters, and which faults it catches.

    python benchmarks/attestation.py [--short] [ENGINE ...]

On the engines that are named, or on all that are installed (`make setup-vllm` has both). Trains adapters of 5 to 500
steps on the embedded model, in float32 and in bfloat16, at the published learning rate and at fifty times that, and
serves them behind a real endpoint: as they are, and with faults that are really planted: other weights are served under
the name. Each honest load is a fresh one, on canaries drawn anew; of vLLM they are fewer, in one process that has seats
for some of the adapters at a time, and in float32 alone. There a fault of vLLM's own is let happen besides: where every
slot has an adapter, rows of the base get the last one's weights. An adapter that is too weak to tell where it is served
as it is counts in `too_weak_pct`, and its faults apart from the others, in `caught_pct_of_weak`.
The last line is one JSON object: seconds_per_adapter (reference and examination), loads, false_alarms, caught_pct, all
of the transformers engine where it was run; and under `vllm` the same of vLLM.
"""

import dataclasses
import json
import statistics
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import get_args

import machine
import torch
from loads import RATES, SEEDS, Adapters

from orchestrator import engine_choice, lab, models
from orchestrator.attest import Finding
from orchestrator.engine_vllm import VllmEngine
from orchestrator.settings import EngineName
from orchestrator.settings_subjects import Model, Precision

LOADS: dict[EngineName, int] = {"transformers": 1000, "vllm": 100}
STEPS = (5, 10, 20, 50, 100, 200, 500)
SHORT = (5, 50)
PRECISIONS: dict[EngineName, tuple[Precision, ...]] = {
    "transformers": (Precision("float32"), Precision("bfloat16")),
    "vllm": (Precision("float32"),),
}


@dataclass
class Tally:
    """What came of everything."""

    loads: int = 0
    seconds: list[float] = field(default_factory=list)
    alarms: list[str] = field(default_factory=list)
    weak: Counter[str] = field(default_factory=Counter)
    caught: Counter[str] = field(default_factory=Counter)
    missed: Counter[str] = field(default_factory=Counter)
    weak_planted: int = 0
    weak_caught: int = 0

    def honest(self, adapters: Adapters, rounds: int) -> None:
        """Loads of what is served as it is."""
        referring = adapters.refer()
        for each in range(rounds):
            found, bases, took = adapters.find(each)
            self.seconds.append(referring + took)
            self.loads += len(found)
            said = [*found.items(), *(("base", finding) for finding in bases)]
            self.alarms += [f"{name}: {finding.fault}" for name, finding in said if finding.verdict == "failed"]
            short = (
                name.rpartition("-")[0] for name, finding in found.items() if finding.verdict == "too weak to tell"
            )
            self.weak.update(f"{adapters.precision.dtype} {name}" for name in short)

    def faulty(self, adapters: Adapters) -> None:
        """Every fault, planted in every adapter."""
        for fault, wrong in adapters.planted():
            for name, finding in adapters.find("faults", wrong)[0].items():
                self._count(fault, f"{adapters.precision.dtype} {name}", finding)
        for name in adapters.names.values():
            found, (base,), _ = adapters.find("leak", leaks=name)
            told = dataclasses.replace(base, alone=found[name].alone)
            self._count("base rows mixed", f"{adapters.precision.dtype} {name}", told)

    def last_slot(self, adapters: Adapters, engine: VllmEngine) -> None:
        """Where every slot of vLLM's has an adapter, rows of the base get the last one's weights."""
        engine._seats._most += 1
        bases = adapters.find("slots")[1]
        failed = any(base.verdict == "failed" for base in bases)
        (self.caught if failed else self.missed)["vLLM's last slot"] += 1
        print("vLLM's last slot:", *{base.fault for base in bases if base.fault}, sep="\n    ")

    def _count(self, fault: str, where: str, finding: Finding) -> None:
        failed = finding.verdict == "failed"
        if finding.alone and not finding.alone.clear:
            self.weak_planted, self.weak_caught = self.weak_planted + 1, self.weak_caught + failed
            return
        (self.caught if failed else self.missed)[fault] += 1
        if not failed:
            print(f"missed: {fault} in {where}: {finding}")

    def figures(self) -> dict[str, float | None]:
        """The last line."""
        planted = self.caught.total() + self.missed.total()
        return {
            "seconds_per_adapter": round(statistics.median(self.seconds), 3),
            "seconds_at_most": round(max(self.seconds), 3),
            "loads": self.loads,
            "false_alarms": len(self.alarms),
            "too_weak_pct": round(100 * self.weak.total() / self.loads, 1),
            "planted": planted,
            "caught_pct": round(100 * self.caught.total() / planted, 2),
            "planted_in_weak": self.weak_planted,
            "caught_pct_of_weak": round(100 * self.weak_caught / self.weak_planted, 1) if self.weak_planted else None,
        }


def tally(engine: EngineName, base: str, folder: Path, short: bool) -> Tally:
    """All that is done on one engine."""
    found, steps, precisions = Tally(), SHORT if short else STEPS, PRECISIONS[engine]
    rounds = 1 if short else -(-LOADS[engine] // (len(precisions) * len(RATES) * len(SEEDS) * len(steps)))
    for precision in precisions:
        adapters = Adapters(base, folder / f"{engine}-{precision.dtype}", precision)
        adapters.train(steps)
        if engine == "transformers":
            found.honest(adapters, rounds)
            found.faulty(adapters)
            continue
        with adapters.on_vllm() as started:
            found.honest(adapters, rounds)
            found.faulty(adapters)
            found.last_slot(adapters, started)
    return found


def show(engine: EngineName, found: Tally) -> None:
    """All that was found on one engine, but for the figures."""
    for alarm in found.alarms:
        print(f"{engine}: false alarm:", alarm)
    for fault in sorted({*found.caught, *found.missed}):
        print(f"{engine}: {fault:<44} caught {found.caught[fault]} of {found.caught[fault] + found.missed[fault]}")
    for name, count in sorted(found.weak.items()):
        print(f"{engine}: too weak to tell: {name} in {count} loads")


def main() -> None:
    torch.set_num_threads(1)
    short, names = "--short" in sys.argv, set(sys.argv[1:]) - {"--short"}
    engines: list[EngineName] = [each for each in get_args(EngineName) if each in (names or get_args(EngineName))]
    model = Model(name="lab", lab="coupled", recipe="short" if short else "full")
    for recipe in models.unbuilt([model]):
        lab.build(recipe, lambda *_: None)
    figures: dict[str, object] = {}
    with tempfile.TemporaryDirectory() as folder:
        for engine in (each for each in engines if each != "vllm" or engine_choice.installed()):
            found = tally(engine, models.chat_model(model), Path(folder), short)
            show(engine, found)
            figures |= found.figures() if engine == "transformers" else {engine: found.figures()}
    print(machine.here())
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
