"""The arithmetic of acceptance: a measured difference, its noise, and what follows. No events, no state.

Measured on Ames (reference figures): folds of one program scatter ten times as much as the *paired* difference between
two programs, so differences are paired on the same rows and folds; and another model seed alone moves a score by half
a paired standard error, so its variance counts twice (once per side).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Evidence:
    """How much better the new solution is (metric units, positive better) and the standard deviation of that figure."""

    difference: float
    sigma: float

    @property
    def in_sigmas(self) -> float:
        """The difference in units of its noise; infinite when there is no noise at all."""
        if self.sigma > 0:
            return self.difference / self.sigma
        return math.copysign(math.inf, self.difference) if self.difference else 0.0


def weigh(difference: float, row_se: float, seed_variance: float) -> Evidence:
    """σ² = row-paired bootstrap variance + 2 × seed variance."""
    return Evidence(difference, math.sqrt(row_se * row_se + 2.0 * seed_variance))


def variance(scores: Sequence[float]) -> float:
    """Unbiased variance of a program's scores under several seeds; 0 for fewer than two."""
    if len(scores) < 2:
        return 0.0
    middle = sum(scores) / len(scores)
    return sum((s - middle) * (s - middle) for s in scores) / (len(scores) - 1)


def mean_of(evidence: Sequence[Evidence]) -> Evidence:
    """The mean of independent differences, with the noise of a mean."""
    count = len(evidence)
    return Evidence(
        sum(e.difference for e in evidence) / count, math.sqrt(sum(e.sigma * e.sigma for e in evidence)) / count
    )


def undecided(evidence: Evidence) -> bool:
    """Better, but by at most two σ: worth asking again on the next partition of the folds."""
    return 0.0 < evidence.difference <= 2.0 * evidence.sigma


def better(evidence: Evidence) -> bool:
    """An improvement: by more than σ."""
    return evidence.difference > evidence.sigma


def tie(evidence: Evidence) -> bool:
    """Within noise, in either direction. A tie is never an improvement."""
    return abs(evidence.difference) <= evidence.sigma


def suspicious(evidence: Evidence, sigmas: float) -> bool:
    """So much better that a leak is likelier than an idea; asks for an audit."""
    return evidence.difference > sigmas * evidence.sigma and evidence.difference > 0
