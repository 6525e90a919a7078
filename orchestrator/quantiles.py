"""Quantiles: of an error that has two sources, questions and training seeds; and Student's. Pure."""

import math
from typing import Any


def weighed(questions: Any, seeds: Any, share: Any, count: Any) -> Any:
    """Between the quantiles for questions alone and for `count` seeds alone, by the seeds' `share` of the variance.

        c = questions + (seeds - questions) w,   w = share with two seeds (Cochran and Cox 1957), sin(share pi / 2)^3
                                                 with three and more

    The share is an estimate, with few seeds a poor one; Welch (1947) and Satterthwaite (1946) trust it too far. Of w,
    the second form was chosen, by numerical integration, for rejecting close to 5 % of true nulls whatever the true
    share is: 4.1 to 5.6 % with 3 to 10 seeds and 20 to 300 questions, where Satterthwaite's rule goes to 7.8. With two
    seeds 2 to 6 % are rejected. Of numbers or of arrays; not for a single seed.
    """
    import numpy as np  # after all settings are read: naming a study must not wait for it

    weight = np.where(np.asarray(count) > 2, np.sin(np.pi / 2 * np.asarray(share)) ** 3, share)
    return questions + (seeds - questions) * weight


def student(probability: float, degrees: int) -> float:
    """Student's t quantile above one half, for whole degrees of freedom, without loading scipy for a plan.

    The distribution is a finite sum over angles (Abramowitz and Stegun 1964, 26.7.3 and 26.7.4), solved by bisection.
    """
    low, high = 0.0, math.pi / 2
    while high - low > 1e-12:
        middle = (low + high) / 2
        low, high = (middle, high) if _within(middle, degrees) < 2 * probability - 1 else (low, middle)
    return math.sqrt(degrees) * math.tan(low)


def _within(angle: float, degrees: int) -> float:
    """The chance that |t| is below sqrt(degrees) tan(angle)."""
    odd = degrees % 2
    cosine = math.cos(angle)
    term, total = (cosine, 0.0) if odd else (1.0, 0.0)
    for power in range(1 + odd, degrees, 2):
        total += term
        term *= cosine**2 * power / (power + 1)
    inside = math.sin(angle) * total
    return 2 / math.pi * (angle + inside) if odd else inside
