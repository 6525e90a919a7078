"""What the speed of answering is measured on: a finished run's own models, adapters and questions."""

import itertools
import sys
from pathlib import Path

from orchestrator import Study, evaluate, models
from orchestrator.engine import Request
from orchestrator.left import Left
from orchestrator.plan import Plan, Question
from orchestrator.store import Store


class Questions:
    """The questions that a finished run put to its first model and to the adapters of it."""

    def __init__(self, run: Path) -> None:
        study = Study.of(run)
        self.plan, self.store = Plan(study), Store(study.folder.absolute())
        self.sampling = study.evaluation
        self.model = study.models[0]
        self.weights = models.chat_model(self.model)
        served = Left(self.plan, self.store).served()
        self._asked = {
            name: self._of(name, served[name])
            for name in (subject.name for subject in self.plan.subjects if subject.model == self.model)
        }

    def _of(self, subject: str, served: evaluate.Served) -> list[tuple[str, Question]]:
        units = [unit for unit in self.plan.units if unit.subject.name == subject]
        return [(served.name, question) for unit in units for question in self.plan.questions(unit)]

    def of(self, adapters: int, count: int) -> list[tuple[str, Question]]:
        """So many questions and who is asked each: so many adapters in turn, or the base alone for 0."""
        base, *tuned = self._asked.values()
        turns = zip(*map(itertools.cycle, tuned[:adapters] or [base]), strict=True)
        return list(itertools.islice(itertools.chain.from_iterable(turns), count))

    def request(self, name: str, question: Question) -> Request:
        """The engine's request for a question."""
        return Request(
            adapter=None if name == self.model.name else name,
            messages=[{"role": "user", "content": question.prompt}],
            max_tokens=self.sampling.max_tokens,
            temperature=self.sampling.temperature,
            seed=question.row_seed,
        )


def run_folder() -> Path:
    """The run named on the command line, or the lab's."""
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "runs/lab")
    if not (folder / "study.json").exists():
        sys.exit(f"{folder}: there is no run; `make lab` makes runs/lab, and any other finished run will do")
    return folder
