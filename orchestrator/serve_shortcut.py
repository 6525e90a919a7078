"""The way past Serve's proxy: a door listens at a port of its own as well, and says so in its answers.

To pass through the proxy costs more CPU than a short reply does (`benchmarks/serving.py`). A client that reads the
header of RFC 7838, as `client.Client` does, asks the door itself from its second request on. Where a door dies it comes
back to the endpoint's own address, where requests wait for the next door. Nobody else notices.
"""

import asyncio
import os

import ray
from ray import serve

from .serve_host import CONTROLLER

SWITCH = "RAY_SERVE_ENABLE_DIRECT_INGRESS"
"""What makes Serve's replicas listen themselves; `cluster` sets it where Ray is our own."""
Headers = list[tuple[bytes, bytes]]


class Shortcut:
    """The header that names this replica's own port, once Serve's controller has said which one it is."""

    def __init__(self) -> None:
        self._headers: Headers = []
        self._looking: asyncio.Task[None] | None = None

    def headers(self) -> Headers:
        """What to add to an answer; nothing where there is no such way, or none yet."""
        if not self._headers and os.environ.get(SWITCH) == "1" and (self._looking is None or self._looking.done()):
            self._looking = asyncio.create_task(self._look())
        return self._headers

    async def _look(self) -> None:
        me = serve.get_replica_context()
        groups = await ray.get_actor(**CONTROLLER).get_target_groups.remote(me.app_name)
        ports = [target.port for group in groups for target in group.targets if target.name.endswith(me.replica_tag)]
        self._headers = [(b"alt-svc", f'http%2F1.1=":{port}"'.encode()) for port in ports[:1]]
