"""What every process that vLLM starts does first: make sure that it does not outlive the one that started it.

vLLM loads this as a plugin (`vllm.general_plugins` in pyproject.toml). Its engine's process waits for work even when
whoever would ask for it was killed, and would keep gigabytes for ever.
"""

import multiprocessing
import os
import signal
import threading


def follow_the_parent() -> None:
    """Die with the parent, however it dies; in the first process nothing is done."""
    if multiprocessing.parent_process():
        threading.Thread(target=_follow, name="follow the parent", daemon=True).start()


def _follow() -> None:
    parent = multiprocessing.parent_process()
    assert parent
    parent.join()
    os.kill(os.getpid(), signal.SIGKILL)
