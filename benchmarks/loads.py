"""Adapters of 5 to 500 steps, what they should say by PEFT, and what they are found to be as an engine serves them."""

import asyncio
import itertools
import random
import shutil
import statistics
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from faults import FAULTY
from served import Endpoint
from transformers import AutoTokenizer

from orchestrator import attest_reference, chats, engine_folders, train, train_data, weights
from orchestrator.attest import Canary, Finding, Reference
from orchestrator.attest_exam import TOGETHER, Candidate, examine
from orchestrator.client import Client
from orchestrator.engine_transformers import TransformersEngine
from orchestrator.engine_vllm import VllmEngine
from orchestrator.pack_member import Member, Moment
from orchestrator.settings_subjects import Precision
from orchestrator.settings_training import Data, TrainingSettings
from orchestrator.tokens import CANARIES, LONGEST

RATES, SEEDS, BATCH, POOL = (1e-5, 5e-4), (0, 1), 4, 160


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
    standing: Endpoint | None = None
    "The endpoint of an engine that is not started anew for every load."

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

        async def examined(url: str) -> list[dict[str, Finding]]:
            references = [{name: self.reference(name, seed) for name in group} for group in groups]
            async with Client(url) as client:
                return [await examine(client, Candidate("base", self.precision, each)) for each in references]

        began = time.perf_counter()
        with self.endpoint() as endpoint:
            endpoint.wrong, endpoint.leaks = wrong or {}, leaks
            found = asyncio.run(examined(endpoint.url))
        took = (time.perf_counter() - began) / len(names)
        bases = [group.pop("base") for group in found]
        return {name: finding for group in found for name, finding in group.items()}, bases, took

    @contextmanager
    def endpoint(self) -> Iterator[Endpoint]:
        """An endpoint, of a fresh transformers engine unless there is one that stands."""
        if self.standing:
            yield self.standing
            return
        engine = TransformersEngine(self.base, str(self.folder), rows=96, precision=self.precision)
        with Endpoint(engine, "base") as endpoint:
            yield endpoint
        engine.close()

    @contextmanager
    def on_vllm(self) -> Iterator[VllmEngine]:
        """For the length of a block everything is served by one vLLM, whose adapters take turns."""
        seats = min(TOGETHER, len(self.names) // 2)
        engine = VllmEngine(self.base, str(self.folder), rows=96, precision=self.precision, active=seats)
        with Endpoint(engine, "base") as self.standing:
            yield engine
            engine.close()
        self.standing = None

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
