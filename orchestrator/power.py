"""How small an effect a design can find, before it is run. Pure, and closed: nothing to import.

A design compares two subjects on the same questions. With G questions, each asked in k conditions, the difference of
their error rates has the variance

    questions   D (1 + (k - 1) r) / (k G)   D: share of pairs that fall out differently; r: correlation in a question
    adapters    2 T^2 / S                   T: spread between adapters that differ by their seed alone; S: seeds

and the smallest true difference that a two-sided test at level alpha finds with the given power is (z(1 - alpha / 2) +
z(power)) times its root (Cohen 1988, section 2; Murray 1998 for the design effect 1 + (k - 1) r). In percentage points.
"""

from dataclasses import dataclass
from statistics import NormalDist

POWER, ALPHA = 0.8, 0.05


@dataclass(frozen=True)
class Assumed:
    """What is not known before a run: D, r and T of the formula."""

    discordant: float = 0.2
    "Share of a question's pairs that fall out differently; about what the published cells show."
    correlation: float = 0.5
    "Of such differences between the conditions of one question."
    adapter_spread_pp: float = 2.0
    "Standard deviation of the error rate between adapters that differ by their training seed alone."


ASSUMED = Assumed()


def detectable(questions: int, conditions: int, seeds: float, assumed: Assumed = ASSUMED) -> float:
    """The smallest difference in error rate, in points, that is found.

    For the recipe, over questions and seeds; for the very adapters that are asked where `seeds` is infinite.
    """
    return _times_z((_of_questions(questions, conditions, assumed) + _of_adapters(seeds, assumed)) ** 0.5)


def _of_questions(questions: int, conditions: int, assumed: Assumed) -> float:
    shared = 1 + (conditions - 1) * assumed.correlation
    return 100**2 * assumed.discordant * shared / (conditions * questions)


def _of_adapters(seeds: float, assumed: Assumed) -> float:
    return 2 * assumed.adapter_spread_pp**2 / seeds


def _times_z(error: float) -> float:
    normal = NormalDist()
    return (normal.inv_cdf(1 - ALPHA / 2) + normal.inv_cdf(POWER)) * error
