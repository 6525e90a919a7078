"""The run's own endpoint: up for the length of a block, with the models that are needed there."""

import contextlib
from collections.abc import Collection, Iterator, Sequence

from . import cluster, models
from .config import Study
from .plan import Unit
from .progress import Display
from .settings import SERVED
from .store import Store


def needed(study: Study, units: Sequence[Unit]) -> set[str]:
    """The models that these units ask, and those that judge."""
    asked = {unit.subject.model.name for unit in units}
    return asked | {str(each.model) for each in study.judges if each.url == SERVED}


@contextlib.contextmanager
def serving(study: Study, store: Store, names: Collection[str], display: Display) -> Iterator[str]:
    """Serve the models of these names, but for hosted ones; gives the address, empty if there is nothing to serve."""
    from . import serve

    served = [model for model in study.models if model.name in names and not model.hosted]
    if not served:
        yield ""
        return
    bases = {model.name: models.chat_model(model) for model in served}
    display.say(f"serve: starting {', '.join(bases)}")
    url = serve.deploy(
        bases,
        str(store.path("adapters")),
        port=study.resources.port,
        precisions={model.name: model.precision for model in served},
        rows=study.resources.rows,
        cpus=min(1, cluster.cpus() / len(bases)),
        gpus=min(1, cluster.gpus() / len(bases)),
    )
    try:
        yield url
    finally:
        serve.shut_down()
