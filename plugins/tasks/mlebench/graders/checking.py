"""What makes a submission invalid before its metric is computed: columns, number of rows, ids. Shared by all graders.

A grader gets two tables (answers may be a list of dicts) of its own, returns a number, and raises for whatever cannot
be graded: `InvalidSubmission` with a sentence where the fault is known, any error otherwise. Both mean "no score".
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd

Grade = Callable[[pd.DataFrame, Any], float]
Array = np.ndarray[Any, Any]


class InvalidSubmission(ValueError):
    """A submission cannot be graded; the text says why, without a word about the answers' values."""


def need(submission: pd.DataFrame, columns: Iterable[str], *, exactly: bool = False) -> None:
    """Refuse a submission that lacks columns, or (`exactly`) has others."""
    wanted = list(columns)
    lacking = [name for name in wanted if name not in submission.columns]
    if lacking:
        raise InvalidSubmission(f"the submission lacks the column {lacking[0]!r}; it needs {', '.join(wanted[:8])}")
    if exactly and set(submission.columns) != set(wanted):
        other = next(str(name) for name in submission.columns if name not in wanted)
        raise InvalidSubmission(f"the submission has a column {other!r} that is not asked for")


def same_length(submission: pd.DataFrame, answers: pd.DataFrame) -> None:
    """Refuse another number of rows than the answers have."""
    if len(submission) != len(answers):
        raise InvalidSubmission(f"the submission has {len(submission)} rows, {len(answers)} are expected")


def aligned(
    submission: pd.DataFrame, answers: pd.DataFrame, key: str, columns: Sequence[str] = (), *, length: bool = True
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Both tables sorted by `key`, after checking columns, number of rows (`length`) and that the keys are the same."""
    need(submission, (key, *columns))
    if length:
        same_length(submission, answers)
    mine = submission.sort_values(key).reset_index(drop=True)
    theirs = answers.sort_values(key).reset_index(drop=True)
    if mine[key].tolist() != theirs[key].tolist():
        raise InvalidSubmission(f"the values of {key!r} are not those that are to be predicted, each once")
    return mine, theirs


def probabilities(values: pd.DataFrame | pd.Series) -> None:
    """Refuse values outside [0, 1] and missing ones."""
    if not bool(np.asarray((values >= 0) & (values <= 1)).all()):
        raise InvalidSubmission("probabilities lie between 0 and 1, none is missing")


def texts(values: pd.Series) -> list[str]:
    """Values as texts; a missing one is `nan`, as in the versions of pandas that MLE-bench uses."""
    return [str(value) for value in values]


def filled(values: pd.Series) -> list[str]:
    """Values as texts; a missing one is empty."""
    return ["" if pd.isna(value) else str(value) for value in values]
