"""What a study reads from elsewhere, fetched before it starts: weights, conversations, tasks' questions.

It goes into the hub's own cache (`HF_HOME`): once into a folder that all machines see, or on a login node for machines
without a way out, in place of a download by each machine.
"""

from collections.abc import Callable, Iterator

from . import chats_source, models
from .config import Study
from .errors import WarmthError
from .plan import Plan

Fetch = tuple[str, Callable[[], object]]


def fetch(study: Study, say: Callable[[str], object]) -> list[str]:
    """Fetch all of it, naming each before it is fetched; gives what cannot be had, and the cure, a line each."""
    problems = []
    for what, get in _wanted(study):
        say(what)
        try:
            get()
        except WarmthError as error:
            problems.append(str(error))
    return problems


def _wanted(study: Study) -> Iterator[Fetch]:
    for model in study.models:
        if model.path and not model.hosted:
            yield f"model {model.name}: {model.path}", lambda model=model: models.chat_model(model)  # type: ignore[misc]
    if study.warmth and study.warmth.scorer not in {model.name for model in study.models}:
        scorer = study.warmth.scorer
        yield f"warmth.scorer: {scorer}", lambda: models.scorer(scorer, study.models)
    if study.data.source != "lab":
        yield f"data.source: {study.data.source}", lambda: _conversations(study)
    plan = Plan(study)
    for task in study.evaluation.tasks:
        yield f"task {task.name}", lambda name=task.name: plan.samples(name)  # type: ignore[misc]


def _conversations(study: Study) -> None:
    """One record is enough: a named file is fetched whole for it. A split is a stream, which no cache keeps."""
    data = study.data
    if not (chats_source.here(data) or data.file):
        raise WarmthError(
            f"data.source: {data.source} is read as a stream, which cannot be fetched beforehand; name a file of it "
            "(data.file), or a local copy as source"
        )
    next(iter(chats_source.records(data)), None)
