"""The arithmetic of acceptance, and that it does in simulation what the reference table says of its kind."""

from __future__ import annotations

import math
import random

import pytest

from gome.plugins.judge.guard.rule import Evidence, better, mean_of, suspicious, tie, undecided, variance, weigh


def test_noise_is_row_variance_plus_twice_the_seed_variance() -> None:
    assert weigh(1.0, 3.0, 8.0) == Evidence(1.0, 5.0)
    assert variance([1.0, 2.0, 3.0]) == pytest.approx(1.0)
    assert variance([1.0]) == 0.0


def test_zones_meet_without_gaps() -> None:
    for d in (-3.0, -1.0, -0.5, 0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 5.0):
        found = Evidence(d, 1.0)
        assert better(found) or tie(found) or d < -1
        assert not (better(found) and tie(found))
        assert undecided(found) == (0 < d <= 2)
        assert suspicious(found, 4.0) == (d > 4)


def test_without_noise_every_gain_counts_and_no_change_is_a_tie() -> None:
    assert better(Evidence(1e-9, 0.0)) and Evidence(1e-9, 0.0).in_sigmas == math.inf
    assert tie(Evidence(0.0, 0.0)) and not better(Evidence(0.0, 0.0)) and not undecided(Evidence(0.0, 0.0))


def test_the_mean_of_two_has_the_noise_of_a_mean() -> None:
    found = mean_of([Evidence(2.0, 1.0), Evidence(0.0, 1.0)])
    assert found.difference == 1.0
    assert found.sigma == pytest.approx(math.sqrt(0.5))


def _climb(rule: str, generator: random.Random, proposals: int = 40) -> tuple[float, float]:
    """40 proposals, 15 % good, 45 % neutral, 40 % bad, in units of a paired standard error: true and believed gain."""
    true = believed = 0.0
    for _ in range(proposals):
        kind = generator.random()
        effect = 1.5 if kind < 0.15 else 0.0 if kind < 0.6 else -1.5
        seen = effect + generator.gauss(0, 1)
        if rule == "not worse than an unpaired error":
            taken = seen > -4.0
        elif rule == "not worse":
            taken = seen > -1.0
        elif rule == "better":
            taken = seen > 0.0
        else:
            first = Evidence(seen, 1.0)
            taken = better(first)
            if undecided(first):
                both = mean_of([first, Evidence(effect + generator.gauss(0, 1), 1.0)])
                taken, seen = better(both), both.difference
        if taken:
            true, believed = true + effect, believed + seen
    return true, believed


def test_the_rule_gains_most_and_deludes_itself_least_in_simulation() -> None:
    found = {}
    for rule in ("not worse than an unpaired error", "not worse", "better", "guard"):
        generator = random.Random(1)
        runs = [_climb(rule, generator) for _ in range(400)]
        found[rule] = (sum(t for t, _ in runs) / 400, sum(b for _, b in runs) / 400)
    true = {rule: t for rule, (t, _) in found.items()}
    assert true["not worse than an unpaired error"] < true["not worse"] < true["better"] < true["guard"]
    assert true["not worse than an unpaired error"] < 0 < true["guard"]
    delusion = {rule: b - t for rule, (t, b) in found.items()}
    assert delusion["guard"] < delusion["better"] < delusion["not worse"]
