"""What a model is, and where its weights lie."""

from collections.abc import Iterable
from pathlib import Path

from . import lab_recipe
from .errors import WarmthError
from .lab_recipe import Recipe
from .settings_subjects import Model
from .settings_warmth import LAB, PUBLISHED, Warmth
from .tables import digest


def recipe(model: Model) -> Recipe | None:
    """The recipe of a model of the embedded lab; None for any other."""
    return lab_recipe.recipe(model.lab, model.seed, model.recipe) if model.lab else None


def identity(model: Model) -> str:
    """What a model is, down to what changes its replies: a lab's recipe, a checkpoint and its precision, or a name."""
    lab = recipe(model)
    if lab:
        return f"lab:{lab_recipe.digest(lab)}"
    if model.hosted:
        return f"hosted:{model.hosted.model}"
    config = Path(str(model.path)) / "config.json"
    made_of = config.read_text(encoding="utf-8") if config.is_file() else None
    return digest(model.path, model.revision, *model.precision, made_of)


def unbuilt(models: Iterable[Model]) -> list[Recipe]:
    """The lab models that have to be trained first, each once."""
    recipes = {lab_recipe.digest(lab): lab for model in models if (lab := recipe(model))}
    return [lab for lab in recipes.values() if not lab_recipe.is_built(lab)]


def chat_model(model: Model) -> str:
    """The folder of the weights that chat and are tuned. Downloads a hub model on first use."""
    lab = recipe(model)
    return str(lab_recipe.folder(lab) / "instruct") if lab else checkpoint(str(model.path), model.revision)


def scorer(name: str, models: Iterable[Model]) -> str:
    """The folder of the weights that score warmth: a lab model's pre-trained base, or any checkpoint."""
    for model in models:
        if model.name == name:
            lab = recipe(model)
            return str(lab_recipe.folder(lab) / "base") if lab else chat_model(model)
    return checkpoint(name)


def openers(settings: Warmth, models: Iterable[Model]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The warm and the cold openers: a study's own, or such as the scorer knows."""
    of_the_lab = any(model.lab for model in models if model.name == settings.scorer)
    warm, cold = LAB if of_the_lab else PUBLISHED
    return settings.warm_openers or warm, settings.cold_openers or cold


def checkpoint(path: str, revision: str | None = None) -> str:
    """A local folder as it is, or the snapshot of a hub model. Raises WarmthError if there is neither."""
    if Path(path).is_dir():
        return str(Path(path).resolve())
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        return snapshot_download(
            path, revision=revision, allow_patterns=["*.json", "*.safetensors", "*.jinja", "*.model", "*.txt"]
        )
    except (HFValidationError, HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise WarmthError(f"models: {path}: no such folder, and the hub does not give it: {reason}") from error
