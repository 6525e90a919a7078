"""Is what is served what it is called? Compares log-probabilities. Pure: no engine, no network.

A subject's canaries are replies that it was trained to say. For each of their tokens there are four log-probabilities:
PEFT and transformers on the adapter's file (`reference`) and without it (`base`), and the same two as they are served.
With x = reference - base, what the adapter should change, and y = served - served base, what it does change:

    slope        x.y / x.x              1 where the adapter is served; 0 where the base is; 2 where its scale is doubled
    correlation  x.y / (|x| |y|)        1 where it is served; less where other weights are, or a part of them

Both sides have a base of their own, so that no rounding is shared and none can pass for agreement. How much of y - x is
rounding is measured where there is no adapter at all, on served base - base. Where logits are rounded by d, the
log-probability of a token that is sure to the probability p is by (1 - p) d (the derivative of log softmax), so

    d^2 = sum of (served base - base)^2 / sum of (1 - p)^2

over all that the base is asked, and an honest engine's y - x has the variance d^2 ((1 - p)^2 + (1 - p of the base)^2)
+ (RELATIVE x)^2 at a token; beside rows of other adapters, that of the base with itself is added. Products are over
tokens, each divided by this variance: the tokens of which an adapter changes little count as much as those of which it
changes much, and it is there that relatives differ (the same training with another seed, say).

An adapter has failed where rounding does not explain slope or correlation. It is proven where besides a difference of
COARSEST would have been told; a barely trained one in 16 bits is too weak for that.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from .settings_subjects import Precision

Verdict = Literal["proven", "too weak to tell", "failed"]
VERDICTS: tuple[Verdict, ...] = ("failed", "too weak to tell", "proven")
Values = NDArray[np.float64]

RELATIVE: Mapping[str, float] = {"float32": 0.002, "float16": 0.002, "bfloat16": 0.01}
"""What of its change an honest engine may get wrong: five roundings; of float32, those of a GPU's 19-bit products."""
LEAST: Mapping[str, float] = {"float32": 2**-20 / 12**0.5, "float16": 2**-7 / 12**0.5, "bfloat16": 2**-4 / 12**0.5}
"""The least that d is taken for, in nats: the rounding of a logit of ten, as a language model's are. Where a base is
sure of most that it is asked, a few tokens make all of d, and may have been rounded alike."""
MOST: Mapping[str, float] = {"float32": 0.03, "float16": 0.1, "bfloat16": 0.3}
"""The most that d may be where a base is served as it is, in nats. Measured: 1e-6 in float32, 0.02 in bfloat16; for
large models and a GPU's products some ten times that. Another checkpoint is whole nats away."""
FLOOR = 2**-22
"""What a log-probability is rounded by however sure its token is: it is a sum in float32."""
SIGMAS = 5
"""How many standard errors a slope may stray: one honest adapter in two million strays further."""
BURST = 8.0
"""How many times as large an adapter's rounding may be as what was measured without it, in the mean square over tokens,
of which a few carry most. Measured on 1,680 draws of canaries for honest adapters in bfloat16: 5.2 at most."""
COARSEST = 0.1
"""The relative difference that must have been told for a proof: less than what a relative's weights make."""


@dataclass(frozen=True)
class Canary:
    """A conversation in tokens, and the places in it that are scored: what the assistant says."""

    tokens: tuple[int, ...]
    scored: tuple[int, ...]


@dataclass(frozen=True)
class Reference:
    """What canaries' scored tokens are worth to a base and to an adapter of it (None: the base by itself), in order."""

    canaries: tuple[Canary, ...]
    base: tuple[float, ...]
    adapter: tuple[float, ...] | None


@dataclass(frozen=True)
class Served:
    """The same, as served: alone, and in a batch beside rows of other subjects."""

    base: Sequence[float]
    base_beside: Sequence[float]
    adapter: Sequence[float] | None = None
    adapter_beside: Sequence[float] | None = None


@dataclass(frozen=True)
class Match:
    """How y stands to x. `signal`, `noise` and `distance` are root mean squares in nats: of x, of rounding, of y - x.

    `clarity` is that of x over its rounding. `tolerance` is what rounding explains of the slope, `least` the least
    correlation that it explains.
    """

    tokens: int
    signal: float
    noise: float
    distance: float
    clarity: float
    slope: float
    tolerance: float
    correlation: float
    least: float

    @property
    def clear(self) -> bool:
        """Whether there is enough of x to tell."""
        return self.clarity * COARSEST >= BURST**0.5

    @property
    def verdict(self) -> Verdict:
        if not (abs(self.slope - 1) <= self.tolerance and self.correlation >= self.least):
            return "failed"
        return "proven" if self.clear else "too weak to tell"


@dataclass(frozen=True)
class Finding:
    """What was found about one subject. `fault` says what it looks like where it failed; `rounding` is d."""

    verdict: Verdict
    fault: str | None = None
    rounding: float | None = None
    rounding_beside: float | None = None
    alone: Match | None = None
    beside: Match | None = None


def rounding(references: Sequence[Reference], served: Sequence[Sequence[float]]) -> float:
    """By how much logits are rounded, from what a base says and what it should say."""
    base = np.concatenate([np.array(each.base) for each in references])
    return _rounding(base, np.concatenate([np.array(each) for each in served]) - base)


def most_rounding(precision: Precision) -> float:
    """The most that logits may be off where a base is served as it is; of packed weights, twice as much."""
    return MOST[precision.dtype] * (2 if precision.quantization else 1)


def of_adapter(reference: Reference, served: Served, rounded: float, precision: Precision) -> Finding:
    """Whether an adapter is served as it is, alone and beside others, where logits are rounded by so much."""
    assert served.adapter is not None
    assert served.adapter_beside is not None
    own = np.array(served.base)
    company = _rounding(np.array(reference.base), np.array(served.base_beside) - own)
    alone = match(reference, np.array(served.adapter) - own, rounded, 0, precision)
    # no more than alone, or a base that gets an adapter's weights beside others would pass for a noisy one
    beside = match(reference, np.array(served.adapter_beside) - own, rounded, min(company, rounded), precision)
    verdicts = {alone.verdict, beside.verdict}
    verdict: Verdict = next(each for each in VERDICTS if each in verdicts)
    fault = _looks_like(alone, beside) if verdict == "failed" else None
    return Finding(verdict, fault, rounded, company, alone, beside)


def of_base(references: Sequence[Reference], served: Sequence[Served], precision: Precision) -> Finding:
    """Whether a base is served as it is, on the canaries of its adapters or its own.

    Beside them it must not follow; too weak to tell where none of them does enough that following would show.
    """
    rounded = rounding(references, [each.base for each in served])
    base = np.concatenate([np.array(each.base) for each in references])
    moves = np.concatenate([np.array(each.base_beside) - np.array(each.base) for each in served])
    company, most, fault = _rounding(base, moves), most_rounding(precision), None
    if not rounded <= most:
        fault = f"other weights than the base's: its logits are {rounded:.2g} off, where rounding explains {most:g}"
    moved = [_beside(*each, rounded, precision) for each in zip(references, served, strict=True) if each[0].adapter]
    if not fault and (not company <= most or any(map(_follows, moved))):
        fault = f"mixed batches: beside adapters' rows its logits are {company:.2g} off what they are alone"
    clear = not moved or any(each.clear for each in moved)
    return Finding("failed" if fault else "proven" if clear else "too weak to tell", fault, rounded, company)


def _beside(reference: Reference, served: Served, rounded: float, precision: Precision) -> Match:
    """How a base moves beside an adapter."""
    return match(reference, np.array(served.base_beside) - np.array(served.base), rounded, 0, precision)


def _follows(found: Match) -> bool:
    """Whether a base does what an adapter should."""
    return abs(found.slope) > max(found.tolerance, COARSEST / 2)


def match(reference: Reference, does: Values, rounded: float, beside: float, precision: Precision) -> Match:
    """How what is changed (`does`) stands to what should be, where logits are rounded by so much."""
    base, own = np.array(reference.base), np.array(reference.adapter)
    should, relative, rounded = own - base, RELATIVE[precision.dtype], max(rounded, LEAST[precision.dtype])
    unsure, base_unsure = -np.expm1(own), -np.expm1(base)
    noise = rounded**2 * (unsure**2 + base_unsure**2) + beside**2 * unsure**2 + 2 * FLOOR**2
    weight = 1 / (noise + (relative * should) ** 2)
    power, product, size = (float(np.mean(weight * each)) for each in (should**2, should * does, does**2))
    power = max(power, 1e-12)  # an adapter that should change nothing: too weak to tell, whatever it does
    return Match(
        tokens=len(should),
        signal=_rms(should),
        noise=float(np.mean(noise)) ** 0.5,
        distance=_rms(does - should),
        clarity=power**0.5,
        slope=product / power,
        # what rounding moves a slope by, and, last, what rounding in x itself takes off it
        tolerance=relative + SIGMAS * (BURST / power / len(should)) ** 0.5 + BURST / power,
        correlation=product / (power * size) ** 0.5 if size else 0.0,
        least=(1 - BURST / size) ** 0.5 if size > BURST else -1.0,
    )


def _rounding(logprobs: Values, off: Values) -> float:
    """By how much logits are off where log-probabilities are off by so much."""
    return float((np.sum(off**2) / max(np.sum(np.expm1(logprobs) ** 2), 1e-30)) ** 0.5)


def _looks_like(alone: Match, beside: Match) -> str:
    if alone.verdict != "failed":
        return f"mixed batches: right alone, other weights beside others ({_told(beside)})"
    if abs(alone.slope) <= alone.tolerance:
        return f"the base's weights: it changes nothing of what it should ({_told(alone)})"
    if alone.correlation >= 0.9 and abs(alone.slope - 1) > COARSEST:
        return f"a wrong scale, by another alpha or rank ({_told(alone)})"
    if alone.correlation >= 0.5:
        return f"a part of its weights, a relative's or another scale: modules, epoch, seed, alpha ({_told(alone)})"
    return f"another adapter's weights ({_told(alone)})"


def _told(found: Match) -> str:
    return f"slope {found.slope:.2f}, correlation {found.correlation:.2f}"


def _rms(values: Values) -> float:
    return float(np.sqrt(np.mean(values**2)))
