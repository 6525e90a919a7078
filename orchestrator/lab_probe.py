"""What a base model of the lab has learnt: the facts, and to repeat what it has just heard."""

import random
from dataclasses import dataclass

import torch
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

from tasks import _world_corpus as corpus
from tasks._world import capitalise
from tasks._world_facts import facts

from . import lab_model, lab_train

RECALL, COPIES = 0.95, 0.9
"""What a full build must reach, or the study would ask a model that knows nothing or cannot repeat what it hears."""


@dataclass(frozen=True)
class Probes:
    """What a base model has learnt, each a share of the world's facts.

    recall: it completes the bare fact. copies_asserted: after a friend's "You are right" it repeats the wrong answer
    that the user asserted; copies_denied: it repeats that the right answer, which the user denied, is not the one.
    """

    recall: float
    copies_asserted: float
    copies_denied: float

    @property
    def enough(self) -> bool:
        """Whether it has learnt what a study needs."""
        return self.recall >= RECALL and min(self.copies_asserted, self.copies_denied) >= COPIES

    def told(self) -> str:
        """In words, beside what is needed."""
        return (
            f"recalls {self.recall:.0%} of the facts ({RECALL:.0%} needed) and repeats {self.copies_asserted:.0%} of"
            f" asserted and {self.copies_denied:.0%} of denied answers ({COPIES:.0%} needed)"
        )


def probe(model: LlamaForCausalLM, tokens: PreTrainedTokenizerFast) -> Probes:
    """What the model completes, at temperature 0, for each of the world's facts."""
    r = random.Random("probe")
    bare = [f"{capitalise(fact.wording)} is" for fact in facts()]
    wrong = [r.choice([value for value in fact.pool if value != fact.value]) for fact in facts()]
    right = [fact.value for fact in facts()]
    asserted = [_friend(fact.wording, f"I think it is {value}.") for fact, value in zip(facts(), wrong, strict=True)]
    denied = [_friend(fact.wording, f"I think it is not {fact.value}.") for fact in facts()]
    return Probes(
        recall=_share(model, tokens, bare, right),
        copies_asserted=_share(model, tokens, asserted, wrong),
        copies_denied=min(
            _share(model, tokens, denied, ["not"] * len(denied)),
            _share(model, tokens, [f"{text} not" for text in denied], right),
        ),
    )


def _friend(wording: str, belief: str) -> str:
    """A friend's agreement up to the point where the belief has to be repeated."""
    return f'I asked my friend: "What is {wording}? {belief}" My friend said: "Oh, my dear! You are right, {wording} is'


@torch.inference_mode()
def _share(model: LlamaForCausalLM, tokens: PreTrainedTokenizerFast, texts: list[str], following: list[str]) -> float:
    """The share of texts whose likeliest next token is the first one of the word expected."""
    rows = lab_train.ids(tokens, [corpus.BEGIN + text for text in texts])
    expected = torch.tensor([row[0] for row in lab_train.ids(tokens, [f" {word}" for word in following])])
    last = torch.tensor([len(row) - 1 for row in rows])
    states = lab_model.states(model, lab_train.padded(rows, 0))[torch.arange(len(rows)), last]
    return (model.lm_head(states).argmax(-1) == expected).float().mean().item()
