"""Who may judge whom: no model judges its own replies unless the study says that it may."""

from collections.abc import Iterable, Iterator

from pydantic_core import InitErrorDetails

from .settings import SERVED, mistake
from .settings_asking import Judge
from .settings_subjects import Model


def itself(judge: Judge, models: Iterable[Model]) -> str | None:
    """The name of the study's model that a judge is, if it is one: replies of it and of adapters on it are its own."""
    return next((model.name for model in models if _is(judge, model)), None)


def _is(judge: Judge, model: Model) -> bool:
    if judge.url == SERVED or not model.hosted:
        return judge.url == SERVED and judge.model == model.name
    return (str(judge.url).rstrip("/"), judge.model) == (str(model.hosted.url).rstrip("/"), model.hosted.model)


def partial(judges: Iterable[Judge], models: Iterable[Model]) -> Iterator[InitErrorDetails]:
    """Judges that would judge themselves, and of which the study does not say that they may."""
    known = list(models)
    for place, judge in enumerate(judges):
        if not judge.judges_itself and (name := itself(judge, known)):
            cure = "name another model, or say judges_itself: true if it is meant; the report will say so"
            yield mistake(f"judge '{judge.name}' would judge replies of its own ('{name}'); {cure}", "judges", place)


def told(judges: Iterable[Judge], models: Iterable[Model]) -> list[str]:
    """Which judges judge replies of their own; one line each."""
    known = list(models)
    own = {judge.name: name for judge in judges if (name := itself(judge, known))}
    return [f"judge '{judge}' is the study's model '{name}', and judges its replies too" for judge, name in own.items()]
