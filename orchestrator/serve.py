"""All models behind one OpenAI-compatible address: Ray Serve around the engines.

Every base model has a `Model`, the engine that answers in the OpenAI protocol. The `Door` that clients come to holds
the first base's model itself, and hands what the others are asked to their own deployments: a hop between processes
costs about as much as a short answer, so a study of one base has none. Where replicas are to come and go, doors hold
no model.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from ray import serve

from . import serve_host, serve_scaling
from .serve_access import Access
from .serve_door import Door
from .serve_model import Base, Model
from .serve_scaling import Scale
from .settings import EngineName
from .settings_subjects import FULL, Precision

NAME = "warmth"
LONE, EVERYONE = Scale(), Access()
NOTHING: Mapping[str, Mapping[str, Any]] = MappingProxyType({})


def deploy(
    bases: Mapping[str, str],
    adapters: str,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    precisions: Mapping[str, Precision] | None = None,
    engine: EngineName = "transformers",
    rows: int = 64,
    scale: Scale = LONE,
    access: Access = EVERYONE,
    about: Mapping[str, Mapping[str, Any]] = NOTHING,
    certificates: str | None = None,
    application: str = NAME,
) -> str:
    """Serves the bases (name to folder) and every adapter of theirs in `adapters`; returns the address, ending in /v1.

    `adapters` is a folder, or the URI of one in a bucket. Ray is initialised already; `application` is what Serve calls
    this beside whatever else it runs, and what it ran under this name before is ended. port 0 takes a free one. rows:
    requests each engine answers at once. precisions: what each base's weights are held in, by its name; float32 if not
    given. With `scale.gpus` an engine runs on CUDA. about: what the list of models says about each, beside its name;
    certificates: the folder of what was found of each. Raises WarmthError when the address cannot be had.
    """
    place = serve_host.place(application, host, port, access)
    made_of = {
        name: Base(folder, adapters, (precisions or {}).get(name, FULL), rows, scale.gpus, engine)
        for name, folder in bases.items()
    }
    own = next(iter(bases)) if scale.fixed else None
    options = serve_scaling.lone(scale) if own else serve_scaling.scaled(scale)
    models = {
        name: MODEL.options(name=f"model-{name}", **options).bind(name, base)
        for name, base in made_of.items()
        if name != own
    }
    door = DOOR.options(**serve_scaling.door(scale, options if own else serve_scaling.BARE))
    most = scale.at_once + scale.waiting
    bound = door.bind(made_of, own, models, access, most, dict(about), certificates)
    serve.run(bound, name=application, route_prefix=place.path)
    return place.url


def shut_down(application: str = NAME) -> None:
    """Ends everything `deploy` started: first the doors, whose replicas answer to its end what they have begun."""
    serve_host.leave(application)


MODEL = serve.deployment(Model)
DOOR = serve.deployment(serve.ingress()(Door))
