"""Grading reports as MLE-bench writes and reads them: of one submission, of a group of runs, and over seeds.

Fields, their order and their values are those of `mlebench grade` and of its script that aggregates grading reports, so
that reports of either side can be mixed. Scores come from `grading.py`; nothing is computed from data here.
"""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from gome.kernel.errors import UsageError
from gome.plugins.tasks.mlebench.medals import Thresholds, award


class CompetitionReport(msgspec.Struct, frozen=True):
    """One graded submission. `score` is rounded to 5 decimals, None without a valid submission; at most one of the
    three medals is true; `created_at` is local time without a zone."""

    competition_id: str
    score: float | None
    gold_threshold: float
    silver_threshold: float
    bronze_threshold: float
    median_threshold: float
    any_medal: bool
    gold_medal: bool
    silver_medal: bool
    bronze_medal: bool
    above_median: bool
    submission_exists: bool
    valid_submission: bool
    is_lower_better: bool
    created_at: str
    submission_path: str


METRICS: dict[str, str] = {
    "submission_exists_percentage": "submission_exists",
    "valid_submissions_percentage": "valid_submission",
    "above_median_percentage": "above_median",
    "gold_medal_percentage": "gold_medal",
    "silver_medal_percentage": "silver_medal",
    "bronze_medal_percentage": "bronze_medal",
    "any_medal_percentage": "any_medal",
}
"""Percentages over the competitions of a split, and the field that each counts."""


def competition_report(
    name: str, score: float | None, needed: Thresholds, *, exists: bool, path: str, now: datetime | None = None
) -> CompetitionReport:
    """Report on a submission that was graded (`score` rounded; None: invalid or missing)."""
    won = award(score, needed)
    return CompetitionReport(
        competition_id=name,
        score=score,
        gold_threshold=float(needed.gold),
        silver_threshold=float(needed.silver),
        bronze_threshold=float(needed.bronze),
        median_threshold=float(needed.median),
        any_medal=won.medal is not None,
        gold_medal=won.medal == "gold",
        silver_medal=won.medal == "silver",
        bronze_medal=won.medal == "bronze",
        above_median=won.above_median,
        submission_exists=exists,
        valid_submission=score is not None,
        is_lower_better=needed.lower_is_better,
        created_at=(now or datetime.now()).isoformat(),
        submission_path=path,
    )


def grading_report(reports: Sequence[CompetitionReport]) -> dict[str, Any]:
    """The aggregate report of a group of runs: counts, then the reports in their order."""

    def count(field: str) -> int:
        return sum(bool(getattr(one, field)) for one in reports)

    return {
        "total_runs": len(reports),
        "total_runs_with_submissions": count("submission_exists"),
        "total_valid_submissions": count("valid_submission"),
        "total_medals": count("any_medal"),
        "total_gold_medals": count("gold_medal"),
        "total_silver_medals": count("silver_medal"),
        "total_bronze_medals": count("bronze_medal"),
        "total_above_median": count("above_median"),
        "competition_reports": [msgspec.to_builtins(one) for one in reports],
    }


def text_of(report: object) -> str:
    """A report as JSON; a score that is no number is the token NaN, as MLE-bench writes it."""
    return json.dumps(report, indent=2)


def file_name(now: datetime | None = None) -> str:
    """Name of an aggregate report, with the time in UTC."""
    return (now or datetime.now(UTC)).strftime("%Y-%m-%dT%H-%M-%S-GMT") + "_grading_report.json"


def read(paths: Iterable[Path]) -> list[dict[str, Any]]:
    """Rows of aggregate reports in the order in which seeds are counted: by path, then by competition.

    `UsageError` names a file that is no grading report.
    """
    rows: list[dict[str, Any]] = []
    needed = ("competition_id", *METRICS.values())
    for path in sorted(paths):
        try:
            report = json.loads(path.read_text(encoding="utf-8"))
            found = sorted(report["competition_reports"], key=lambda row: str(row["competition_id"]))
            rows += [{name: row[name] for name in needed} for row in found]
        except OSError as error:
            raise UsageError(f"{path} cannot be read: {error.strerror}; name a grading report") from error
        except (ValueError, KeyError, TypeError) as error:
            raise UsageError(
                f"{path} is no grading report of MLE-bench ({type(error).__name__}: {error}); "
                "`gome mle-bench grade` writes one"
            ) from error
    return rows


def aggregate(
    rows: Sequence[Mapping[str, Any]], among: Sequence[str], *, seeds: int = -1, pad: bool = False
) -> dict[str, Any]:
    """Mean and standard error over seeds of the percentages over the competitions `among`.

    Seed k is the k-th row of each competition. There are as many seeds as the competition with the fewest rows has,
    with `pad` as many as the one with the most, missing rows counting as failures; `seeds` keeps the first so many
    (-1: all). `UsageError` where a competition has no row (without `pad`) or there are fewer seeds than asked for.
    """
    found: dict[str, list[Mapping[str, Any]]] = {name: [] for name in among}
    for row in rows:
        if row["competition_id"] in found:
            found[row["competition_id"]].append(row)
    absent = [name for name, mine in found.items() if not mine]
    counts = [len(mine) for mine in found.values()]
    if absent and not (pad and any(counts)):
        raise UsageError(
            f"{len(absent)} of {len(found)} competitions have no graded run ({', '.join(absent[:3])}"
            f"{', …' if len(absent) > 3 else ''}); grade them, choose a smaller --split, or count them as failures "
            "with --pad-missing"
        )
    have = max(counts) if pad else min(counts)
    if seeds > have:
        raise UsageError(f"{seeds} seeds are asked for, the reports hold {have}; leave --num-seeds out")
    used = have if seeds < 0 else seeds
    values: dict[str, list[float]] = {"total_competitions": [float(len(found))] * used}
    for metric, field in METRICS.items():
        values[metric] = [
            100.0 * sum(bool(mine[k][field]) for mine in found.values() if k < len(mine)) / len(found)
            for k in range(used)
        ]
    return {
        "num_seeds_averaged": used,
        "num_competitions_per_seed": len(found),
        "metrics": {name: _summary(of) for name, of in values.items()},
    }


def _summary(values: Sequence[float]) -> dict[str, float]:
    mean = statistics.fmean(values)
    error = statistics.stdev(values) / math.sqrt(len(values)) if len(values) > 1 else 0.0
    return {
        "mean": mean,
        "ci_lower": mean - 1.96 * error,
        "ci_upper": mean + 1.96 * error,
        "standard_error": error,
    }
