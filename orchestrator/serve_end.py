"""An endpoint on a cluster of others' making ends with whoever started it, also where that is killed.

Serve outlives the process that starts it. A machine of our own ends with it; on a cluster that goes on, engines would
keep their GPUs for nobody. An actor of the process dies with it, and another one, which does not, hears of that.
"""

import contextlib
import threading
from collections.abc import Iterator

import ray
from ray import serve


class Starter:
    """Is there for as long as the process that made it."""

    def live(self) -> None:
        """Does not come back."""
        threading.Event().wait()


class Heir:
    """Ends an application of Serve once its starter is no more."""

    def wait(self, starter: ray.actor.ActorHandle, application: str) -> None:
        """Comes back when it has."""
        with contextlib.suppress(ray.exceptions.RayActorError):
            ray.get(starter.live.remote())
        serve.delete(application)


@contextlib.contextmanager
def with_this_process(application: str) -> Iterator[None]:
    """For the length of a block, an application ends if this process does."""
    starter = ray.remote(num_cpus=0)(Starter).remote()
    heir = ray.remote(num_cpus=0, lifetime="detached")(Heir).remote()
    heir.wait.remote(starter, application)
    try:
        yield
    finally:
        ray.kill(heir)
        ray.kill(starter)
