"""Signs that a valid score is not to be believed, each with its evidence: cheap looks at one attempt's own files.

None of these refuses anything: an attempt with doubts has to pass a masked-fold audit before the judge takes it. What
is wrong with the data as such (a column that gives the target away, test rows among the training rows, ids that
predict) is looked for once, in `profile.py` and by the leak check of tasks; `shared` brings the part of it that a score
can profit from. Called by `score.py` for full executions.
"""

from __future__ import annotations

import numpy as np

from gome.events import METRICS, Doubt, ScoreRequested, Task
from gome.kernel.plugin import Artifacts
from gome.plugins.scorer.metrics.formulas import constant, value
from gome.plugins.scorer.metrics.tables import Floats, Ints, TableError, frame_of, read_csv

CLAIM = 0.02
"""Relative difference between the score a program wrote down and the recomputed one that rounding cannot explain."""
COPIED = 0.5
"""Share of rows whose prediction is the label to the last digit, from which predictions are copies."""
SKILL = 0.995
"""Share of a constant prediction's loss that no honest model of noisy data removes."""
CERTAIN = 0.9995
"""Area under the curve that no honest model of noisy data reaches."""
DISTINCT = 20
"""A target of fewer values can be hit exactly by honest predictions."""


def doubts(
    store: Artifacts, asked: ScoreRequested, truth: Floats, predicted: Floats, folds: Ints, score: float
) -> tuple[Doubt, ...]:
    """Look at a scored attempt; `truth` and `predicted` are in the order of train.csv."""
    found = [
        _claim(store, asked, score),
        _copied(asked.task, truth, predicted),
        _too_good(asked.task, truth, predicted, folds, score),
        _shared(store, asked.task, truth, predicted, score),
    ]
    return tuple(doubt for doubt in found if doubt is not None)


def _claim(store: Artifacts, asked: ScoreRequested, score: float) -> Doubt | None:
    """The program's own `scores.csv` (row `ensemble`, else the last one) against the recomputed score."""
    file = asked.outputs.get("scores.csv")
    if file is None or file.size > 1 << 20:
        return None
    try:
        table = read_csv(store.get(file.digest), index_col=0)
    except TableError:
        return None
    numbers = table.select_dtypes("number")
    if numbers.empty:
        return None
    names = [str(name).strip().lower() for name in table.index]
    column = numbers.to_numpy(dtype=np.float64)[:, 0]
    claimed = float(column[names.index("ensemble") if "ensemble" in names else -1])
    sign = 1.0 if asked.task.metric.greater_is_better else -1.0
    better = sign * (claimed - score)
    if not np.isfinite(claimed) or better <= CLAIM * max(abs(score), 1e-12):
        return None
    return Doubt(
        "claim",
        f"the program says {asked.task.metric.name} {claimed:.6g}; its out-of-fold predictions come to {score:.6g}",
        {"claimed": claimed, "recomputed": score},
    )


def _copied(task: Task, truth: Floats, predicted: Floats) -> Doubt | None:
    """Predictions that are the labels themselves."""
    if task.kind == "regression":
        if len(np.unique(truth)) < DISTINCT:
            return None
        share = float(np.mean(predicted.reshape(len(truth), -1)[:, 0] == truth))
    else:
        flat = predicted if predicted.ndim == 1 else predicted[np.arange(len(truth)), truth.astype(int)]
        right = flat if predicted.ndim > 1 else np.where(truth > 0, flat, 1 - flat)
        share = float(np.mean(right >= 1 - 1e-9)) if len(np.unique(predicted)) <= 2 and right.mean() > COPIED else 0.0
        share = share if share > 0.999 else 0.0
    if share < COPIED:
        return None
    return Doubt("copied", f"{share:.0%} of the out-of-fold predictions are the labels themselves", {"share": share})


def _too_good(task: Task, truth: Floats, predicted: Floats, folds: Ints, score: float) -> Doubt | None:
    """A score that leaves next to nothing of what a constant prediction misses."""
    facts = METRICS[task.metric.name]
    if task.metric.name == "roc_auc":
        if score < CERTAIN:
            return None
        return Doubt("too good", f"roc_auc {score:.6g} leaves no doubt about any pair of rows", {"score": score})
    plain = float(value(task, truth, constant(task, truth, len(truth))))
    if facts.greater_is_better or not np.isfinite(plain) or plain <= 0:
        return None
    skill = 1 - score / plain
    if skill < SKILL:
        return None
    return Doubt(
        "too good",
        f"{task.metric.name} {score:.6g} is {skill:.2%} less than a constant prediction's {plain:.6g}",
        {"score": score, "constant": plain, "skill": skill},
    )


def _shared(store: Artifacts, task: Task, truth: Floats, predicted: Floats, score: float) -> Doubt | None:
    """Rows that occur several times with other folds: a score that lives on them is not one of new rows."""
    frame = frame_of(store, task.train)
    names = [c.name for c in task.columns if c.name in frame]
    if not names:
        return None
    repeated = frame.duplicated(names, keep=False).to_numpy()
    count = int(repeated.sum())
    if task.group or count < 0.02 * len(frame) or count > 0.9 * len(frame) or (~repeated).sum() < 50:
        return None
    fresh = float(value(task, truth[~repeated], predicted[~repeated]))
    sign = 1.0 if task.metric.greater_is_better else -1.0
    loss = sign * (score - fresh)
    if not np.isfinite(fresh) or loss <= 0.1 * max(abs(score), 1e-12):
        return None
    return Doubt(
        "repeated rows",
        f"{count} training rows have a twin; without them {task.metric.name} is {fresh:.6g} instead of {score:.6g}",
        {"rows": float(count), "without": fresh, "with": score},
    )
