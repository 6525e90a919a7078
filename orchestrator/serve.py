"""All models behind one OpenAI-compatible address: Ray Serve around the engines.

Every base model has a `Model`, the engine that answers in the OpenAI protocol. The `Door` that clients come to holds
the first base's model itself, and hands what the others are asked to their own deployments: a hop between processes
costs about as much as a short answer, so a study of one base has none.
"""

import socket
from collections.abc import Mapping
from typing import Any

from ray import serve
from ray.serve.config import HTTPOptions, ProxyLocation
from ray.serve.schema import LoggingConfig

from .errors import WarmthError
from .serve_door import Door, app
from .serve_model import Base, Model
from .settings_subjects import FULL, Precision

AT_ONCE = 1024
"""How many requests a replica takes in; those beyond the engine's rows wait inside it."""
SETTINGS: dict[str, Any] = {
    "max_ongoing_requests": AT_ONCE,
    "health_check_timeout_s": 120,
    "graceful_shutdown_timeout_s": 5,
    "logging_config": LoggingConfig(enable_access_log=False),
}


def deploy(
    bases: Mapping[str, str],
    adapters: str,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    precisions: Mapping[str, Precision] | None = None,
    rows: int = 64,
    cpus: float = 1,
    gpus: float = 0,
) -> str:
    """Serves the bases (name to folder) and every adapter of theirs in `adapters`; returns the address, ending in /v1.

    Ray is initialised already. Whatever Serve served before is shut down. port 0 takes a free one. rows: requests each
    engine answers at once. precisions: what each base's weights are held in, by its name; float32 if not given.
    cpus and gpus are what each engine reserves; with gpus it runs on CUDA.
    Raises WarmthError when the port is taken.
    """
    port = check_port(host, port)
    serve.shutdown()
    http, quiet = HTTPOptions(host=host, port=port), LoggingConfig(enable_access_log=False)
    serve.start(proxy_location=ProxyLocation.HeadOnly, http_options=http, logging_config=quiet)
    needs = {"num_cpus": cpus, "num_gpus": gpus}
    made_of = {
        name: Base(folder, adapters, (precisions or {}).get(name, FULL), rows, gpus > 0)
        for name, folder in bases.items()
    }
    first, *others = bases
    models = {name: MODEL.options(name=f"model-{name}", ray_actor_options=needs).bind(made_of[name]) for name in others}
    door = DOOR.options(ray_actor_options=needs).bind(made_of, first, models)
    serve.run(door, name="warmth", route_prefix="/")
    return f"http://{host}:{port}/v1"


def shut_down() -> None:
    """Ends everything `deploy` started."""
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


MODEL = serve.deployment(Model, **SETTINGS)
DOOR = serve.deployment(serve.ingress(app)(Door), **SETTINGS)
