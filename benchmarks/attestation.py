"""What attestation takes, how often it is wrong about honest adapters, and which faults it catches.

    python benchmarks/attestation.py [--short]

Trains adapters of 5 to 500 steps on the embedded model, in float32 and in bfloat16, at the published learning rate and
at fifty times that, and serves them behind a real endpoint: as they are, and with faults that are really planted: other
weights are served under the name. Each honest load is a fresh one, on canaries drawn anew. An adapter that is too weak
to tell where it is served as it is counts in `too_weak_pct`, and its faults apart from the others, in
`caught_pct_of_weak`.
The last line is one JSON object: seconds_per_adapter (reference and examination), loads, false_alarms, caught_pct.
"""

import asyncio
import dataclasses
import itertools
import json
import random
import shutil
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import machine
import torch
from faults import FAULTY
from served import Endpoint
from transformers import AutoTokenizer

from orchestrator import attest_reference, chats, engine_folders, lab, models, train, train_data, weights
from orchestrator.attest import Canary, Finding, Reference
from orchestrator.attest_exam import TOGETHER, Candidate, examine
from orchestrator.client import Client
from orchestrator.engine_transformers import TransformersEngine
from orchestrator.pack_member import Member, Moment
from orchestrator.settings_subjects import Model, Precision
from orchestrator.settings_training import Data, TrainingSettings
from orchestrator.tokens import CANARIES, LONGEST

RATES, SEEDS, BATCH, POOL, LOADS = (1e-5, 5e-4), (0, 1), 4, 160, 1000
STEPS = (5, 10, 20, 50, 100, 200, 500)
SHORT = (5, 50)
PRECISIONS = (Precision("float32"), Precision("bfloat16"))


@dataclass
class Adapters:
    """Adapters of one base in one precision, what all canaries of the pool are worth to them, and honest verdicts."""

    base: str
    folder: Path
    precision: Precision
    pool: list[Canary] = field(default_factory=list)
    names: dict[tuple[float, int, int], str] = field(default_factory=dict)
    "By learning rate, seed and steps."
    scores: dict[str, list[tuple[float, ...]]] = field(default_factory=dict)
    "By name, and of the base under its folder: each canary's."

    def train(self, steps: tuple[int, ...]) -> None:
        """All adapters, several from each training."""
        self.folder.mkdir()
        tokenizer, learnt = AutoTokenizer.from_pretrained(self.base), chats.lab(Data(chats=480))
        per = len(learnt) // BATCH
        for rate in RATES:
            for seed in SEEDS:
                how = TrainingSettings(learning_rate=rate, epochs=steps[-1] / per, batch=BATCH)

                def keep(_: float, moment: Moment, member: Member, of: tuple[float, int] = (rate, seed)) -> None:
                    aside = self.folder / "aside"
                    sha = train.save(member, aside)
                    name = engine_folders.named(f"lr{of[0]:g}-s{of[1]}-n{moment.step}", sha)
                    self.names[*of, moment.step] = aside.rename(self.folder / name).name

                train.train(self.base, learnt, how, seed, [each / per for each in steps], keep, self.precision)
        drawn = random.Random(0).sample(learnt, POOL)
        for example in (train_data.encode(tokenizer, chat, LONGEST) for chat in drawn):
            scored = tuple(place for place, label in enumerate(example.labels) if label != train_data.IGNORED)
            self.pool.append(Canary(tuple(example.tokens), scored))

    def refer(self) -> float:
        """Score the pool by PEFT; the seconds that this takes for as many canaries as an adapter is examined on."""
        loaded, took = weights.load(self.base, self.precision, "cpu").eval(), []
        self.scores[self.base] = [attest_reference.score(loaded, [each]) for each in self.pool]
        for name in self.names.values():
            began = time.perf_counter()
            found = attest_reference.tuned(loaded, self.folder / name, self.pool)
            took.append((time.perf_counter() - began) * 2 * CANARIES / POOL)
            values = iter(found)
            self.scores[name] = [tuple(next(values) for _ in each.scored) for each in self.pool]
        return statistics.mean(took)

    def reference(self, name: str, seed: object) -> Reference:
        """An adapter's reference on canaries drawn from the pool."""
        drawn = random.Random(f"{name}/{seed}").sample(range(len(self.pool)), CANARIES)
        base, own = ([value for place in drawn for value in self.scores[of][place]] for of in (self.base, name))
        return Reference(tuple(self.pool[place] for place in drawn), tuple(base), tuple(own))

    def find(
        self, seed: object, wrong: Mapping[str, str | None] | None = None, leaks: str | None = None
    ) -> tuple[dict[str, Finding], list[Finding], float]:
        """What a fresh engine's adapters are found to be, its base beside each group, and seconds per adapter.

        Where one `leaks`, of a single group with it.
        """
        names = list(self.names.values())
        random.Random(str(seed)).shuffle(names)
        if leaks:
            names = [leaks, *(name for name in names if name != leaks)][:TOGETHER]
        groups = [names[start : start + TOGETHER] for start in range(0, len(names), TOGETHER)]
        engine = TransformersEngine(self.base, str(self.folder), rows=96, precision=self.precision)

        async def examined(url: str) -> list[dict[str, Finding]]:
            references = [{name: self.reference(name, seed) for name in group} for group in groups]
            async with Client(url) as client:
                return [await examine(client, Candidate("base", self.precision, each)) for each in references]

        began = time.perf_counter()
        with Endpoint(engine, "base") as endpoint:
            endpoint.wrong, endpoint.leaks = wrong or {}, leaks
            found = asyncio.run(examined(endpoint.url))
        took = (time.perf_counter() - began) / len(names)
        engine.close()
        bases = [group.pop("base") for group in found]
        return {name: finding for group in found for name, finding in group.items()}, bases, took

    def planted(self) -> Iterator[tuple[str, dict[str, str | None]]]:
        """Each fault, and what is served in place of each adapter."""
        for fault, plant in FAULTY.items():
            yield fault, {name: self._copy(name, fault, plant) for name in self.names.values()}
        yield "missing path, the base served in silence", dict.fromkeys(self.names.values())
        steps = sorted({key[2] for key in self.names})
        earlier = {after: before for before, after in itertools.pairwise(steps)} | {steps[0]: steps[1]}
        yield "stale bytes", {name: self.names[*key[:2], earlier[key[2]]] for key, name in self.names.items()}
        other = dict(zip(SEEDS, reversed(SEEDS), strict=True))
        yield "swapped ids", {name: self.names[key[0], other[key[1]], key[2]] for key, name in self.names.items()}

    def _copy(self, name: str, fault: str, plant: object) -> str:
        copy = shutil.copytree(self.folder / name, self.folder / f"{fault}-{name[:-13]}")
        plant(copy)  # type: ignore[operator]
        return copy.rename(copy.with_name(engine_folders.named(copy.name, engine_folders.digest(copy)))).name


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


def main() -> None:
    torch.set_num_threads(1)
    short = "--short" in sys.argv
    model = Model(name="lab", lab="coupled", recipe="short" if short else "full")
    for recipe in models.unbuilt([model]):
        lab.build(recipe, lambda *_: None)
    tally, steps = Tally(), SHORT if short else STEPS
    rounds = 1 if short else -(-LOADS // (len(PRECISIONS) * len(RATES) * len(SEEDS) * len(steps)))
    with tempfile.TemporaryDirectory() as folder:
        for precision in PRECISIONS:
            adapters = Adapters(models.chat_model(model), Path(folder) / precision.dtype, precision)
            adapters.train(steps)
            tally.honest(adapters, rounds)
            tally.faulty(adapters)
    print(machine.here())
    for alarm in tally.alarms:
        print("false alarm:", alarm)
    for fault in sorted({*tally.caught, *tally.missed}):
        print(f"{fault:<44} caught {tally.caught[fault]} of {tally.caught[fault] + tally.missed[fault]}")
    for name, count in sorted(tally.weak.items()):
        print(f"too weak to tell: {name} in {count} of {rounds} loads")
    print(json.dumps(tally.figures()))


if __name__ == "__main__":
    main()
