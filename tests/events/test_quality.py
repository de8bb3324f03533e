"""The measured quality of a reasoner: ranks, Spearman's correlation, and which attempts of a run count."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gome.events import (
    AttemptAccepted,
    AttemptRejected,
    CodeWritten,
    Event,
    Hypothesis,
    HypothesisProposed,
    Payload,
    Scores,
    StepPlanned,
    SubmissionScored,
    Text,
    Trajectory,
)
from gome.events.quality import forecasts, quality, ranks, spearman

NUMBERS = st.lists(st.integers(-5, 5).map(float), min_size=2, max_size=12)


def told(*outcomes: tuple[float, float | None], scored: bool = True) -> Trajectory:
    """A run of attempts on one draft: what was predicted, and what it gained (None: it failed)."""
    trajectory, seq = Trajectory(), itertools.count(1)

    def say(payload: Payload) -> None:
        n = next(seq)
        trajectory.apply(Event(f"{n:032x}", type(payload).__name__, n, float(n), payload))

    for number, (predicted, gain) in enumerate([(9.0, 0.5), *outcomes], start=1):
        name = f"a{number}"
        scores = Scores(impact=predicted) if scored else Scores()
        say(StepPlanned(name, 0, number, parent="" if number == 1 else "a1"))
        say(HypothesisProposed(name, Hypothesis("s", "model", scores=scores, expected_gain=predicted)))
        say(CodeWritten(name, Text.of(name), name))
        if gain is None:
            say(AttemptRejected(name, failure="data"))
            continue
        say(SubmissionScored(name, "full", 1.0))
        say(AttemptAccepted(name, gain=gain) if gain > 0 else AttemptRejected(name, gain=gain))
    return trajectory


def test_a_reasoner_whose_forecasts_hold_has_quality_one_and_one_that_is_always_wrong_minus_one() -> None:
    right = [(1.0, -0.2), (2.0, -0.1), (3.0, 0.1), (5.5, 0.2), (9.0, 0.3)]
    assert quality(told(*right)) == 1.0
    assert quality(told(*((-p, g) for p, g in right))) == -1.0
    assert quality(told(*right, scored=False)) == 1.0, "without scores it is the expected gain that counts"


def test_a_failed_attempt_has_gained_nothing_and_a_draft_is_no_forecast() -> None:
    assert forecasts(told((2.0, None), (3.0, 0.1))) == [(2.0, 0.0), (3.0, 0.1)]


def test_there_is_no_quality_of_few_or_equal_attempts() -> None:
    assert quality(told((1.0, 0.1), (2.0, 0.2))) is None
    assert quality(told(*[(5.0, 0.1 * n) for n in range(6)])) is None
    assert quality(Trajectory()) is None


def test_the_correlation_of_ranks_is_the_known_one() -> None:
    # Textbook example (IQ against hours of television): rho = −29/165.
    iq = [106, 100, 86, 101, 99, 103, 97, 113, 112, 110]
    hours = [7, 27, 2, 50, 28, 29, 20, 12, 6, 17]
    assert spearman(iq, hours) == pytest.approx(-29 / 165)
    assert ranks([3.0, 1.0, 3.0, 2.0]) == [3.5, 1.0, 3.5, 2.0]
    with pytest.raises(ValueError, match="do not pair up"):
        spearman([1.0], [1.0, 2.0])


@given(NUMBERS, st.randoms(use_true_random=False))
def test_the_correlation_is_symmetric_bounded_and_blind_to_units(left: list[float], random: object) -> None:
    right = list(left)
    random.shuffle(right)  # type: ignore[attr-defined]
    found = spearman(left, right)
    if found is None:
        assert len(set(left)) == 1
        return
    assert -1.0 <= found <= 1.0 and found == spearman(right, left)
    assert spearman([3 * v + 1 for v in left], right) == found
    assert spearman([-v for v in left], right) == pytest.approx(-found)
    assert spearman(left, left) == 1.0
