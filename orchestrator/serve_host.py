"""Ray Serve itself: started for a run, or found on the cluster already, and then the run is its guest.

A guest has an application of its own under a path of its own, and takes away no more than that. On a cluster of others'
making (RAY_ADDRESS) Serve is never shut down, whoever started it: somebody else may use it since.
"""

import contextlib
import socket
from dataclasses import dataclass
from typing import Any

import ray
from ray import serve
from ray.exceptions import RayActorError
from ray.serve.config import HTTPOptions, ProxyLocation
from ray.serve.exceptions import RayServeException
from ray.serve.schema import LoggingConfig

from . import cluster
from .errors import WarmthError
from .serve_access import Access, on_loopback

QUIET = LoggingConfig(enable_access_log=False)
CONTROLLER = {"name": "SERVE_CONTROLLER_ACTOR", "namespace": "serve"}
"""The actor that says where Serve listens; Serve has no public call for it."""
EVERYWHERE = ("0.0.0.0", "::")


@dataclass(frozen=True)
class Place:
    """Where an application is: Serve's address, and a path there that is the application's alone."""

    host: str
    port: int
    path: str = "/"

    @property
    def url(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}{self.path.rstrip('/')}/v1"


def place(application: str, host: str, port: int, access: Access) -> Place:
    """Starts Serve at this address, where port 0 takes a free one; or takes the one that is there, as its guest.

    Raises WarmthError where the port is taken, or where the Serve that is there does not listen as is wanted.
    """
    there = options()
    if there and _others(application):
        return _guest(application, host, port, there, access)
    if there:
        serve.shutdown()
    port = check_port(host, port)
    serve.start(
        proxy_location=ProxyLocation.HeadOnly,
        http_options=HTTPOptions(host=host, port=port),
        logging_config=QUIET,
    )
    return Place(host, port)


def leave(application: str) -> None:
    """Ends an application, whose replicas answer to its end what they have begun; and Serve, if nobody else uses it."""
    with contextlib.suppress(RayServeException):  # there is none to end
        serve.delete(application)
    if not _others(application):
        serve.shutdown()


def options() -> HTTPOptions | None:
    """How the Serve that runs on the cluster listens; None if none runs."""
    try:
        controller = ray.get_actor(**CONTROLLER)
        found: HTTPOptions = ray.get(controller.get_http_config.remote())
    except (ValueError, RayActorError):
        return None
    return found


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


def _others(application: str) -> bool:
    """Whether Serve is, or may be, somebody else's too."""
    return cluster.joined() or bool(serve.status().applications.keys() - {application})


def _guest(application: str, host: str, port: int, there: HTTPOptions, access: Access) -> Place:
    at = f"Serve runs on this cluster already, at {there.host}:{there.port}"
    if port not in (0, there.port):
        raise WarmthError(f"resources.port: {at}, and is shared; take port 0 or {there.port}")
    if host not in ("127.0.0.1", there.host):
        raise WarmthError(f"--host {host}: {at}, and is shared; leave --host out")
    if access.digest is None and not on_loopback(str(there.host)):
        raise WarmthError(
            f"{at}, which can be reached from other machines, so that this endpoint needs a key: --api-key-file FILE, "
            "or run on a cluster whose Serve listens on 127.0.0.1"
        )
    own: Any = ray.util.get_node_ip_address() if there.host in EVERYWHERE else there.host
    return Place(str(own), there.port, f"/{application}")
