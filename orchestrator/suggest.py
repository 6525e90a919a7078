"""What Optuna proposes to try next, from the training losses so far. Filed in the run before it is trained."""

import importlib.util
from collections.abc import Iterable, Mapping, Sequence
from statistics import mean
from typing import Any, TypeVar

from . import config, filing, trials
from .config import Study
from .errors import WarmthError
from .plan import Plan
from .settings_search import Domain, Searching
from .store import STUDY, Store
from .tables import digest

S = TypeVar("S", bound=Study)

MISSING = (
    "training.search.method: optuna is not installed here; `pip install -e '.[search]'` installs it; or leave the "
    "method out, then values are drawn at random"
)


def problem(study: Study) -> str | None:
    """Why nothing could be proposed, and the cure."""
    wanted = study.training.search.method == "optuna" and importlib.util.find_spec("optuna") is None
    return MISSING if wanted else None


def known(study: S) -> S:
    """The study with what an earlier run of it has tried, as long as it searches the same."""
    search, store = study.training.search, Store(study.folder.absolute())
    if search.method != "optuna" or search.tried or not store.has(STUDY):
        return study
    before = config.of_run(store.folder).training.search
    same = before.model_copy(update={"tried": (), "samples": search.samples}) == search
    return _having_tried(study, before.tried[: search.samples]) if same else study


def more(plan: Plan, store: Store) -> bool:
    """Add what is to be tried next to the plan and to the run's study; false if all is tried.

    What is proposed follows from the seed and the losses of what was tried before, so a run that was stopped goes on
    as it would have gone on. Raises WarmthError where Optuna is missing.
    """
    search = plan.study.training.search
    if not search.coming:
        return False
    seen = [(tried, loss(plan.study, store, tried)) for tried in search.tried]
    found = propose(search, seen, min(search.coming, search.at_once))
    plan.renew(_having_tried(plan.study, [*search.tried, *found]))
    filing.file_settings(plan.study, store)
    return True


def _having_tried(study: S, tried: Iterable[Mapping[str, Any]]) -> S:
    search = study.training.search.model_copy(update={"tried": tuple(map(dict, tried))})
    return study.model_copy(update={"training": study.training.model_copy(update={"search": search})})


def loss(study: Study, store: Store, tried: Mapping[str, Any]) -> float | None:
    """What a draw is judged by: the training loss of the last epoch, over all trials with these settings.

    None where none of them has finished here: failed ones and hosted ones have no losses.
    """
    finished = (trials.record(store, trial) for trial in Plan(_having_tried(study, [tried])).trials)
    losses = [_last(found) for found in finished if found and found.get("losses")]
    return mean(losses) if losses else None


def _last(found: Mapping[str, Any]) -> float:
    """The mean loss of a trial's last epoch, or of all of its steps if they are fewer."""
    losses: list[float] = found["losses"]
    steps = round(len(losses) / max(1, found["settings"]["epochs"]))
    return mean(losses[-max(1, steps) :])


def propose(
    search: Searching, seen: Sequence[tuple[Mapping[str, Any], float | None]], count: int
) -> list[dict[str, Any]]:
    """So many draws, given those before them with their losses."""
    if importlib.util.find_spec("optuna") is None:
        raise WarmthError(MISSING)
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    spaces = {name: _distribution(domain) for name, domain in search.drawn.items()}
    sampler = optuna.samplers.TPESampler(seed=int(digest(search.seed, len(seen), length=8), 16))
    asked = optuna.create_study(sampler=sampler)
    states = optuna.trial.TrialState
    for tried, came in seen:
        parameters = {name: _coded(domain, tried[name]) for name, domain in search.drawn.items()}
        state = states.FAIL if came is None else states.COMPLETE
        asked.add_trial(optuna.trial.create_trial(state=state, params=parameters, distributions=spaces, value=came))
    found = [asked.ask(spaces).params for _ in range(count)]
    return [{name: _decoded(domain, each[name]) for name, domain in search.drawn.items()} for each in found]


def _distribution(domain: Domain) -> Any:
    from optuna import distributions as of

    if domain.kind == "choice":
        return of.CategoricalDistribution(range(len(domain.values)))
    low, high = domain.values
    kind = of.IntDistribution if domain.whole else of.FloatDistribution
    return kind(low, high, log=domain.kind == "loguniform")


def _coded(domain: Domain, value: Any) -> Any:
    """A value as Optuna has it: one of several by its place, as it may be of any kind."""
    if domain.kind != "choice":
        return value
    return domain.values.index(tuple(value) if isinstance(value, list) else value)


def _decoded(domain: Domain, value: Any) -> Any:
    return domain.values[value] if domain.kind == "choice" else domain.near(value)
