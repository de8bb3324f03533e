"""What is said of a finished run: the sentences of its result."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from gome.events import (
    BASELINE,
    Artifact,
    AttemptAccepted,
    Event,
    Ledger,
    Metric,
    Payload,
    RunFinished,
    RunStarted,
    StepPlanned,
    SubmissionGraded,
    SubmissionScored,
    SubmissionSelected,
    Task,
    Text,
    Trajectory,
)
from gome.events.score import Comparison
from gome.kernel.report import headline, report
from gome.kernel.results import Summary, summarise

FILE = Artifact("sha256-x", 1)
OWN = Artifact("sha256-own", 1)
MEAN = Artifact("sha256-mean", 1)


def told(handed_in: SubmissionSelected, gain: float | None, interval: tuple[float, float]) -> tuple[Summary, str]:
    """Summary and report of a run of two accepted attempts; `gain` is over the first one's hidden score of 0.5, None
    without hidden answers."""
    task = Task("t", "regression", Metric("rmse", False), "y", "id", (), FILE, FILE, 10, 5)
    t = Trajectory()
    said: list[Payload] = [RunStarted(task, seed=1)]
    for name in ("a1", "a2"):
        scored = SubmissionScored(name, "full", 0.5, seed=7, outputs={"submission.csv": OWN})
        said += [StepPlanned(name, 0, 1), scored, AttemptAccepted(name, rule="gain")]
    for payload in (*said, handed_in, RunFinished("done")):
        t.apply(Event(f"e{t.seq + 1}", type(payload).__name__, t.seq + 1, 0.0, payload))
    grades: Mapping[str, SubmissionGraded] = {}
    if gain is not None:
        over = tuple(Comparison(name, gain, 0.1) for name in (BASELINE, "a1"))
        final = SubmissionGraded("final", 0.5 - gain, comparisons=over, intervals={BASELINE: interval, "a1": interval})
        grades = {"final": final, BASELINE: SubmissionGraded(BASELINE, 0.5), "a1": SubmissionGraded("a1", 0.5)}
    summary = summarise("r", t, grades, Ledger())
    return summary, report(summary, t)


def selected(attempt: str, file: Artifact, *seeds: int) -> SubmissionSelected:
    return SubmissionSelected(attempt, 0.5, 0.1, file, FILE, Text.of("pass"), seeds=seeds, partitions=(0,) * len(seeds))


@pytest.mark.parametrize("gain", [0.0, None])
def test_a_first_attempt_that_is_handed_in_is_called_so_and_not_compared_with_itself(gain: float | None) -> None:
    summary, page = told(selected("a1", OWN, 7), gain, (0.0, 0.0))
    sentence = "what was handed in is the first attempt itself (a1)"
    assert summary.first == "itself" and headline(summary)[-1] == sentence and f"- {sentence}\n" in page
    assert "than the first attempt" not in page and "as good as the first attempt" not in page


def test_a_first_attempt_that_was_run_again_is_compared_with_its_first_run() -> None:
    summary, page = told(selected("a1", MEAN, 8, 9), 0.01, (0.005, 0.015))
    assert summary.first == "rerun"
    assert headline(summary)[-1] == (
        "what was handed in is the first attempt (a1), run again with other seeds and folds: 2.0 % better than its "
        "first run (rmse 0.50000): +0.01000, 95 % interval +0.00500 to +0.01500"
    )
    assert headline(summary)[-1] in page


def test_a_baseline_that_is_handed_in_is_called_so_and_is_what_other_rules_lose_against() -> None:
    summary, page = told(selected(BASELINE, MEAN, 8), 0.0, (0.0, 0.0))
    assert "what was handed in is the default LightGBM: nothing that was tried held up against it" in headline(summary)
    assert "default LightGBM (rmse" not in page, "it is not compared with itself"
    assert {c.rule: c.loss for c in summary.choices}["handed in"] == 0.0


def test_a_mean_of_several_attempts_is_not_the_first_one() -> None:
    summary, _ = told(selected("a1", MEAN, 7, 7), 0.01, (0.005, 0.015))
    assert summary.first == "" and headline(summary)[-1].startswith("2.0 % better than the first attempt (a1) (rmse")


def test_what_is_exactly_as_good_is_not_called_worse() -> None:
    summary, _ = told(selected("a2", OWN, 7), 0.0, (0.0, 0.0))
    over_baseline, over_first = headline(summary)[-2:]
    assert over_baseline.startswith("as good as ") and "worse" not in over_baseline
    assert over_first.startswith("as good as the first attempt (a1) (rmse 0.50000): +0.00000")
