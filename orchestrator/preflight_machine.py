"""Whether this machine has what a run needs: CUDA that torch can use, memory on its GPUs, room on its disks.

torch is not imported for it: that takes longer than everything else that is looked at.
"""

import functools
import importlib.util
import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from . import design, sizes
from .config import Study
from .settings_subjects import Model


def own_models(study: Study) -> list[Model]:
    """The models whose weights this run loads, but for the lab's, which run anywhere."""
    return [model for model in study.models if model.path]


def cuda(study: Study) -> str | None:
    """A GPU where one is described, and a torch that can use it."""
    here, described = gpus(), study.resources.gpus
    if elsewhere() or not own_models(study):
        return None
    if not here:
        wanted = f"resources.gpus: {described} described, none found on this machine" if described else ""
        return wanted and f"{wanted}; start it where they are, set RAY_ADDRESS to their cluster, or set it to 0"
    built, driver = torch_cuda(), driver_cuda()
    if built is None:
        return "this machine has a GPU, but torch is built for processors; install requirements/gpu.txt"
    if driver and int(driver.split(".")[0]) < int(built.split(".")[0]):
        return f"torch is built for CUDA {built}, and this driver goes up to {driver}; update the driver"
    return None


def memory(study: Study) -> str | None:
    """Every model fits what a trial and an engine get of this machine's GPUs."""
    here = gpus()
    if elsewhere() or not here:
        return None
    lines = [line for model in own_models(study) if (line := sizes.too_large(study, model, min(here), len(here)))]
    return "\n".join(lines) or None


def disk(study: Study) -> str | None:
    """Room for weights that are still to come and for every checkpoint, by the disks that they go to."""
    wanted: dict[Path, float] = {}
    for place, gb in (*_downloads(study), (existing(Path(study.resources.runs)), _checkpoints(study))):
        disks = [known for known in wanted if os.stat(known).st_dev == os.stat(place).st_dev]
        wanted[disks[0] if disks else place] = wanted.get(disks[0] if disks else place, 0) + gb
    short = [(place, gb, shutil.disk_usage(place).free / 1e9) for place, gb in wanted.items()]
    lines = [
        f"{place}: {free:,.1f} GB are free, and weights and checkpoints take about {gb:,.1f}; make room, or choose "
        "another disk with resources.runs and HF_HOME"
        for place, gb, free in short
        if free < gb
    ]
    return "\n".join(lines) or None


def _checkpoints(study: Study) -> float:
    kept = len(study.training.checkpoints)
    return sum(
        kept * sizes.adapter_gb(sizes.parameters(point.model) or 0, point.settings.rank)
        for point in design.expected(study)
    )


def _downloads(study: Study) -> list[tuple[Path, float]]:
    cache = Path(os.environ.get("HF_HOME", "~/.cache/huggingface")).expanduser() / "hub"
    cache = Path(os.environ.get("HF_HUB_CACHE", cache)).expanduser()
    return [
        (existing(cache), 2 * (sizes.parameters(model) or 0))
        for model in own_models(study)
        if not Path(str(model.path)).is_dir() and not (cache / f"models--{str(model.path).replace('/', '--')}").is_dir()
    ]


def existing(place: Path) -> Path:
    """The nearest folder that is there already."""
    return next(folder for folder in (place.absolute(), *place.absolute().parents) if folder.is_dir())


def elsewhere() -> bool:
    """Whether the work is done by a cluster that this machine can only guess about."""
    return bool(os.environ.get("RAY_ADDRESS"))


@functools.cache
def gpus() -> tuple[float, ...]:
    """GB of memory of each GPU here; empty if there is none."""
    told = _nvidia_smi("--query-gpu=memory.total", "--format=csv,noheader,nounits")
    return tuple(float(line) * 2**20 / 1e9 for line in told.split() if line.replace(".", "").isdigit())


def used_gb(gpus: Sequence[str]) -> list[float]:
    """GB in use on some of this machine's GPUs, by their numbers; empty where nothing can be said."""
    told = _nvidia_smi(f"--id={','.join(gpus)}", "--query-gpu=memory.used", "--format=csv,noheader,nounits")
    return [float(line) * 2**20 / 1e9 for line in told.split() if line.replace(".", "").isdigit()]


def driver_cuda() -> str | None:
    """The newest CUDA that the driver knows."""
    found = re.search(r"CUDA Version: *([\d.]+)", _nvidia_smi())
    return found[1] if found else None


def torch_cuda() -> str | None:
    """The CUDA that torch is built for, as its own version file has it."""
    found = importlib.util.find_spec("torch")
    file = Path(str(found.origin)).parent / "version.py" if found else None
    built = re.search(r"^cuda\b[^=]*= *'([\d.]+)'", file.read_text(), re.MULTILINE) if file and file.is_file() else None
    return built[1] if built else None


def _nvidia_smi(*options: str) -> str:
    if not shutil.which("nvidia-smi"):
        return ""
    done = subprocess.run(["nvidia-smi", *options], capture_output=True, text=True, check=False, timeout=30)
    return done.stdout if done.returncode == 0 else ""
