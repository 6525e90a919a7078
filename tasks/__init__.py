"""Tasks: what subjects are asked, and how replies are scored. A file's name is its task's name."""

from importlib import import_module
from pathlib import Path

from ._conditions import BELIEFS, CONTEXTS, GRIDS, MISTAKEN, conditions, fill, phrasing, prompt, prompt_set
from ._finished import Finished, finished
from ._pack import PUBLISHED, read_pack
from ._rows import Unusable
from ._samples import Taken, size, take
from ._task import OUTCOMES, Outcome, Phrasing, Sample, Task, is_error

__all__ = [
    "BELIEFS",
    "CONTEXTS",
    "GRIDS",
    "MISTAKEN",
    "OUTCOMES",
    "PUBLISHED",
    "Finished",
    "Outcome",
    "Phrasing",
    "Sample",
    "Taken",
    "Task",
    "Unusable",
    "conditions",
    "fill",
    "finished",
    "is_error",
    "load",
    "names",
    "phrasing",
    "prompt",
    "prompt_set",
    "read_pack",
    "size",
    "sources",
    "take",
]


def names() -> list[str]:
    """The names of all tasks: the files of this folder that do not begin with `_`."""
    return sorted(file.stem for file in Path(__file__).parent.glob("[!_]*.py"))


def sources(name: str) -> list[Path]:
    """The files that a task's rule is made of: its own, and those that rules share."""
    folder = Path(__file__).parent
    return [*sorted(folder.glob("_*.py")), folder / f"{name}.py"]


def load(name: str) -> Task:
    """The task of a name. Raises ValueError if there is none."""
    if name not in names():
        raise ValueError(f"no task is named {name!r}; there are {', '.join(names())}")
    task = import_module(f"{__name__}.{name}").task
    if not isinstance(task, Task):
        raise TypeError(f"tasks/{name}.py: `task` is a {type(task).__name__}; make it a Task")
    return task
