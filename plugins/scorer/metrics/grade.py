"""Hidden grades: a submission against the answers in the vault, for people to read after the run. Nothing of this
reaches the run's log. Called by `perform.py` before the public score is returned."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from gome.events import Artifact, Comparison, ScoreRequested, SubmissionGraded, Task
from gome.kernel.plugin import Artifacts
from gome.plugins.scorer.metrics.bootstrap import interval, resampled, standard_error
from gome.plugins.scorer.metrics.formulas import value
from gome.plugins.scorer.metrics.score import predictions_of
from gome.plugins.scorer.metrics.tables import answers_of, row_ids

RESAMPLES = 1000
"""Resamples for the intervals of the final grade; single grades take 200."""


def grade_name(asked: ScoreRequested) -> str:
    """Key of a grade in the vault: the attempt for its full execution and the final one, else with the purpose."""
    if asked.final or asked.purpose == "full":
        return asked.attempt
    return f"{asked.attempt}:{asked.purpose}:{asked.partition}:{asked.seed}"


def grade(
    store: Artifacts, asked: ScoreRequested, answers: bytes, rivals: Sequence[tuple[str, Artifact]], seed: int
) -> SubmissionGraded | None:
    """Grade `outputs["submission.csv"]`; None when the submission or the answers cannot be used.

    `rivals` are (attempt, submission) of a final grade: each gets a paired bootstrap difference, positive better, with
    its 95 % interval.
    """
    task: Task = asked.task
    ids, truth = answers_of(task, answers)
    places = row_ids(store, task.test, task.id).locate(ids)
    usable = (places >= 0) & np.isfinite(truth)
    own = predictions_of(store, task, asked.outputs["submission.csv"])
    if own is None or not usable.any():
        return None
    truth, places = truth[usable], places[usable]
    compared = [(name, found) for name, file in rivals if (found := predictions_of(store, task, file)) is not None]
    everyone = [own[places], *(found[places] for _, found in compared)]
    score = value(task, truth, everyone[0])
    if not np.isfinite(score):
        return None
    draws = resampled(task, truth, everyone, RESAMPLES if asked.final else 200, seed)
    sign = 1.0 if task.metric.greater_is_better else -1.0
    comparisons, intervals = [], {}
    for row, (name, _) in enumerate(compared, start=1):
        differences = sign * (draws[0] - draws[row])
        comparisons.append(
            Comparison(
                attempt=name,
                difference=sign * (score - value(task, truth, everyone[row])),
                row_se=standard_error(differences),
            )
        )
        intervals[name] = interval(differences)
    return SubmissionGraded(
        attempt=grade_name(asked),
        score=score,
        se=standard_error(draws[0]),
        final=asked.final,
        comparisons=tuple(comparisons),
        intervals=intervals,
    )
