"""How small an effect a design can find, before it is run. Pure, and closed: nothing to load.

A design compares two subjects on the same questions. With G questions, each asked in k conditions, the difference of
their error rates has the variance

    questions   D (1 + (k - 1) r) / (k G)   D: share of pairs that fall out differently; r: correlation in a question
    adapters    2 T^2 / S                   T: spread between adapters that differ by their seed alone; S: seeds

and the smallest true difference that a two-sided test at level alpha finds with the given power is about (q(1 - alpha /
2) + q(power)) times its root (Cohen 1988, section 2; Murray 1998 for the design effect 1 + (k - 1) r). q is the normal
quantile for questions, Student's with S - 1 degrees for seeds, and between them as in the recipe's interval
(`quantiles.weighed`). A single seed says nothing of T, which then is taken as known as well as it was when it was
assumed. In percentage points.
"""

import math
from dataclasses import dataclass
from statistics import NormalDist

from . import quantiles

POWER, ALPHA = 0.8, 0.05


@dataclass(frozen=True)
class Assumed:
    """What is not known before a run: D, r and T of the formula."""

    discordant: float = 0.2
    "Share of a question's pairs that fall out differently; about what the published cells show."
    correlation: float = 0.5
    "Of such differences between the conditions of one question."
    adapter_spread_pp: float = 2.3
    """Standard deviation of the error rate between adapters that differ by their training seed alone.

    The lab's: 2.3 under mistaken beliefs (1.5 over all conditions), the root mean square of `variance.seed_sd_pp` over
    cold, plain and warm against original in both worlds, two seeds each, at epoch 2. From six pairs of adapters a 95 %
    interval is 1.5 to 5.0. Bases differ far more: by 16 to 18 points of agreement in configs/lab-seeds.yaml.
    """
    spread_degrees: int = 6
    "Degrees of freedom of that estimate."


ASSUMED = Assumed()


def detectable(questions: int, conditions: int, seeds: float, assumed: Assumed = ASSUMED) -> float:
    """The smallest difference in error rate, in points, that is found.

    For the recipe, over questions and seeds; for the very adapters that are asked where `seeds` is infinite.
    """
    of_questions, of_adapters = _of_questions(questions, conditions, assumed), _of_adapters(seeds, assumed)
    variance = of_questions + of_adapters
    count = 1 + assumed.spread_degrees if seeds == 1 else seeds
    both = sum(_quantile(tail, of_adapters / variance, count) for tail in (1 - ALPHA / 2, POWER))
    return both * math.sqrt(variance)


def helps_more(questions: int, conditions: int, seeds: float, assumed: Assumed = ASSUMED) -> str:
    """What of the two to have more of, "questions" or "seeds": what most of the variance comes from."""
    more_seeds = _of_adapters(seeds, assumed) > _of_questions(questions, conditions, assumed)
    return "seeds" if more_seeds else "questions"


def _of_questions(questions: int, conditions: int, assumed: Assumed) -> float:
    shared = 1 + (conditions - 1) * assumed.correlation
    return 100**2 * assumed.discordant * shared / (conditions * questions)


def _of_adapters(seeds: float, assumed: Assumed) -> float:
    return 2 * assumed.adapter_spread_pp**2 / seeds


def _quantile(probability: float, share: float, count: float) -> float:
    normal = NormalDist().inv_cdf(probability)
    if math.isinf(count):
        return normal
    return float(quantiles.weighed(normal, quantiles.student(probability, int(count) - 1), share, count))
