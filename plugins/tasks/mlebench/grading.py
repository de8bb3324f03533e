"""Grades a submission file against the private answers of a prepared competition: the score, or why there is none.

The rule of MLE-bench: the score is rounded to five decimals; a file that is missing, is no `.csv`, or makes the grader
raise has no score. The answers are read here and in `prepare.py` only, and never reach an error text.
"""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from gome.kernel.errors import UsageError
from gome.plugins.tasks.mlebench.competitions import Competition, prepared
from gome.plugins.tasks.mlebench.graders import UNSUPPORTED, graders
from gome.plugins.tasks.mlebench.graders.checking import InvalidSubmission
from gome.plugins.tasks.mlebench.medals import Thresholds, thresholds
from gome.plugins.tasks.mlebench.reading import read_csv
from gome.plugins.tasks.mlebench.reports import CompetitionReport, competition_report


class Graded(NamedTuple):
    """A score (None: no valid submission) and why there is none (""), and whether a CSV file was there at all."""

    score: float | None
    why: str
    exists: bool


def answers_of(one: Competition, data: Path) -> Any:
    """The private answers: a table, or a list of dicts. `UsageError` where they are not there."""
    path = prepared(one, data) / one.answers
    if not path.is_file():
        raise UsageError(f"the answers of {one.id} are not at {path}; prepare the competition again")
    if path.suffix == ".jsonl":
        return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    return read_csv(path)


def grade(one: Competition, submission: Path | None, data: Path) -> Graded:
    """Grade a file. `UsageError` for a competition without a grader or without answers, never for the file."""
    if one.id in UNSUPPORTED:
        raise UsageError(f"{one.id} cannot be graded here: {UNSUPPORTED[one.id]}; use `mlebench grade`")
    answers = answers_of(one, data)
    if submission is None or not submission.is_file() or submission.suffix.lower() != ".csv":
        return Graded(None, "there is no submission file, or it is no .csv", False)
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            score = graders()[one.id](_submission(submission), answers)
            return Graded(round(float(score), 5), "", True)
    except InvalidSubmission as error:
        return Graded(None, str(error), True)
    except Exception as error:  # the contract: whatever a grader raises makes the submission invalid
        return Graded(None, f"its values cannot be graded ({type(error).__name__})", True)


def _submission(path: Path) -> pd.DataFrame:
    try:
        return read_csv(path)
    except pd.errors.EmptyDataError:
        return pd.DataFrame()
    except (pd.errors.ParserError, UnicodeDecodeError) as error:
        raise InvalidSubmission(f"the submission cannot be read as CSV: {error}") from error


def leaderboard(one: Competition, folder: Path | None) -> Thresholds:
    """Thresholds from `folder`/ID/leaderboard.csv (as in mlebench/competitions), or, without a folder, as shipped."""
    if folder is None:
        return one.thresholds
    path = folder / one.id / "leaderboard.csv"
    try:
        return thresholds(read_csv(path)["score"].astype(float).tolist())
    except OSError as error:
        raise UsageError(
            f"the leaderboard {path} cannot be read: {error.strerror}; leave --leaderboards out"
        ) from error
    except (KeyError, ValueError) as error:
        raise UsageError(
            f"{path} is no leaderboard with a column score (a Git-LFS pointer looks like that; `git lfs pull` fetches "
            "it), or leave --leaderboards out"
        ) from error


def report_on(
    one: Competition, submission: Path | None, data: Path, leaderboards: Path | None = None
) -> tuple[CompetitionReport, Graded]:
    """Grade a file and say what it wins, in MLE-bench's form."""
    needed = leaderboard(one, leaderboards)
    found = grade(one, submission, data)
    return competition_report(one.id, found.score, needed, exists=found.exists, path=str(submission)), found
