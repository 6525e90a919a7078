"""What subjects should say: log-probabilities by PEFT and transformers on the files themselves, without an engine."""

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from . import attest_files, models, rewritten, trials
from .attest import Canary, Reference
from .plan import Plan, Subject, Trial
from .settings_subjects import Model
from .store import Store
from .tables import Chat, digest
from .tokens import CANARIES, LONGEST


def missing(plan: Plan, store: Store, subjects: Iterable[Subject]) -> list[Subject]:
    """One subject for each reference that these need and that is not on file.

    A base is examined on its adapters' canaries; it has a reference of its own only where it has no adapter.
    """
    adapters = trials.adapters(store, plan)
    with_adapters = {each.model.name for each in plan.subjects if each.name in adapters}
    needed = {
        adapters.get(each.name) or attest_files.reference_name(each.model): each
        for each in subjects
        if not each.model.hosted and (each.name in adapters or each.model.name not in with_adapters)
    }
    return [each for name, each in needed.items() if attest_files.reference(store, name, each.model) is None]


def beside_training(plan: Plan, store: Store) -> Callable[[Trial, str], None]:
    """Makes the reference of an adapter in the process that trains it, as soon as it is filed.

    Not on a GPU, which has no room for the base a second time; there they are made before something is served.
    """
    import torch

    if torch.cuda.is_available():
        return lambda *_: None
    return Referee(plan, store.folder).of_adapter


class Referee:
    """Makes references and files them. A plain class; Ray makes it an actor."""

    def __init__(self, plan: Plan, folder: Path) -> None:
        self._plan, self._store = plan, Store(folder)
        self._loaded: tuple[str, Any, Any] | None = None
        self._scored: dict[tuple[Canary, ...], tuple[float, ...]] = {}

    def do(self, subject: Subject) -> int:
        """The reference of a subject: of its adapter, or of its base by itself."""
        if subject.trial:
            adapters = trials.adapters(self._store, self._plan)
            self.of_adapter(subject.trial, adapters[subject.name])
        else:
            model, tokenizer = self._base(subject.model)
            asked = tuple(_prompts(self._plan, tokenizer, subject))
            reference = Reference(asked, score(model, asked), None)
            attest_files.file_reference(
                self._store, attest_files.reference_name(subject.model), subject.model, reference
            )
        return 0

    def of_adapter(self, trial: Trial, name: str) -> None:
        """The reference of an adapter, from its file."""
        model, tokenizer = self._base(trial.model)
        learnt = rewritten.learnt(self._plan, self._store, trial.persona, trial.settings.dose)
        said = tuple(_learnt(tokenizer, learnt, trial.settings.max_length))
        if said not in self._scored:
            self._scored[said] = score(model, said)
        after = tuned(model, self._store.path("adapters", name), said)
        reference = Reference(said, self._scored[said], after)
        attest_files.file_reference(self._store, name, trial.model, reference)

    def _base(self, model: Model) -> tuple[Any, Any]:
        """The base and its tokenizer, as transformers loads them; one at a time is kept."""
        import torch
        from transformers import AutoTokenizer

        from . import weights

        if self._loaded is None or self._loaded[0] != model.name:
            self._loaded, self._scored = None, {}
            folder, device = models.chat_model(model), "cuda" if torch.cuda.is_available() else "cpu"
            loaded = weights.load(folder, model.precision, device).eval()
            self._loaded = model.name, loaded, AutoTokenizer.from_pretrained(folder)
        return self._loaded[1:]


def tuned(base: Any, adapter: Path, canaries: Sequence[Canary]) -> tuple[float, ...]:
    """What canaries are worth to a base under the adapter in a file; the base is left as it was."""
    from peft import PeftModel

    under = PeftModel.from_pretrained(base, str(adapter)).eval()
    try:
        return score(under, canaries)
    finally:
        under.unload()


def score(model: Any, canaries: Sequence[Canary]) -> tuple[float, ...]:
    """The log-probability of every scored token, each canary by itself."""
    import torch

    found: list[float] = []
    with torch.inference_mode():
        for canary in canaries:
            tokens = torch.tensor([canary.tokens], device=model.device)
            logprobs = model(input_ids=tokens).logits[0].float().log_softmax(-1)
            places = torch.tensor(canary.scored, device=model.device)
            found += logprobs[places - 1, tokens[0, places]].tolist()
    return tuple(found)


def _learnt(tokenizer: Any, learnt: Iterable[Chat], max_length: int) -> Iterator[Canary]:
    """Some of the conversations that a trial learns from, drawn by their names, and in them what it learns to say."""
    from . import train_data

    chosen = sorted(learnt, key=lambda chat: digest("canary", chat.id))
    examples = (train_data.encode(tokenizer, chat, min(max_length, LONGEST)) for chat in chosen)
    for example in itertools.islice((each for each in examples if each.teaches), CANARIES):
        scored = tuple(place for place, label in enumerate(example.labels) if label != train_data.IGNORED)
        yield Canary(tuple(example.tokens), scored)


def _prompts(plan: Plan, tokenizer: Any, subject: Subject) -> Iterator[Canary]:
    """What a base without adapters is asked: its questions, all their tokens but the first."""
    units = [unit for unit in plan.units if unit.subject == subject]
    asked = sorted({question.prompt for unit in units for question in plan.questions(unit)}, key=digest)
    for prompt in asked[:CANARIES]:
        said = [{"role": "user", "content": prompt}]
        text = tokenizer.apply_chat_template(said, tokenize=False, add_generation_prompt=True)
        tokens = tokenizer(text, add_special_tokens=False).input_ids[:LONGEST]
        yield Canary(tuple(tokens), tuple(range(1, len(tokens))))
