"""All models behind one OpenAI-compatible address: Ray Serve around the engines.

Every base model has a `Model`, the engine that answers in the OpenAI protocol. The `Door` that clients come to holds
the first base's model itself, and hands what the others are asked to their own deployments: a hop between processes
costs about as much as a short answer, so a study of one base has none. Where replicas are to come and go, doors hold
no model.
"""

import contextlib
import socket
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from ray import serve
from ray.serve.config import HTTPOptions, ProxyLocation
from ray.serve.exceptions import RayServeException
from ray.serve.schema import LoggingConfig

from . import serve_scaling
from .errors import WarmthError
from .serve_access import Access
from .serve_door import Door
from .serve_model import Base, Model
from .serve_scaling import Scale
from .settings import EngineName
from .settings_subjects import FULL, Precision

NAME = "warmth"
QUIET = LoggingConfig(enable_access_log=False)
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
) -> str:
    """Serves the bases (name to folder) and every adapter of theirs in `adapters`; returns the address, ending in /v1.

    Ray is initialised already. Whatever Serve served before is shut down. port 0 takes a free one. rows: requests each
    engine answers at once. precisions: what each base's weights are held in, by its name; float32 if not given.
    With `scale.gpus` an engine runs on CUDA. about: what the list of models says about each, beside its name.
    Raises WarmthError when the port is taken.
    """
    port = check_port(host, port)
    serve.shutdown()
    http = HTTPOptions(host=host, port=port)
    serve.start(proxy_location=ProxyLocation.HeadOnly, http_options=http, logging_config=QUIET)
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
    door = DOOR.options(**(options if own else serve_scaling.door(scale)))
    serve.run(door.bind(made_of, own, models, access, dict(about)), name=NAME, route_prefix="/")
    return f"http://{f'[{host}]' if ':' in host else host}:{port}/v1"


def shut_down() -> None:
    """Ends everything `deploy` started: first the doors, whose replicas answer to its end what they have begun."""
    with contextlib.suppress(RayServeException):  # there is none to end
        serve.delete(NAME)
    serve.shutdown()


def check_port(host: str, port: int) -> int:
    """The port itself, or a free one for 0. Raises WarmthError when it is taken."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            problem = f"port {port} on {host} cannot be had ({error.strerror})"
            raise WarmthError(f"resources.port: {problem}; choose another, or 0 for any free one") from error
        return int(probe.getsockname()[1])


MODEL = serve.deployment(Model)
DOOR = serve.deployment(serve.ingress()(Door))
