"""Grading reports field by field, seeds and their errors, and published rows that the rules must reproduce."""

from __future__ import annotations

import itertools
import json
import math
import statistics
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gome.kernel.errors import UsageError
from gome.plugins.tasks.mlebench.competitions import competition, competitions, split
from gome.plugins.tasks.mlebench.leaderboard import PARTS, Row, own_row, published
from gome.plugins.tasks.mlebench.reports import (
    METRICS,
    aggregate,
    competition_report,
    file_name,
    grading_report,
    read,
    text_of,
)

SIZES = {"low": 22, "medium": 38, "high": 15, "all": 75}
NOW = datetime(2026, 1, 2, 3, 4, 5, 678)


def report(name: str = "nomad2018-predict-transparent-conductors", score: float | None = 0.06, **said: Any) -> Any:
    said = {"exists": True, "path": "a/submission.csv", "now": NOW, **said}
    return competition_report(name, score, competition(name).thresholds, **said)


def row(name: str, won: bool) -> dict[str, Any]:
    """What aggregation reads of a report: a bronze medal or a valid submission without one."""
    flags = dict.fromkeys(METRICS.values(), True) | dict.fromkeys(("gold_medal", "silver_medal"), False)
    return {"competition_id": name, **flags, "any_medal": won, "bronze_medal": won}


def test_a_competition_report_has_the_sixteen_fields_in_their_order() -> None:
    found = json.loads(text_of(grading_report([report()])))["competition_reports"][0]
    assert list(found.items()) == [
        ("competition_id", "nomad2018-predict-transparent-conductors"),
        ("score", 0.06),
        ("gold_threshold", 0.05589),
        ("silver_threshold", 0.06229),
        ("bronze_threshold", 0.06582),
        ("median_threshold", 0.06988),
        ("any_medal", True),
        ("gold_medal", False),
        ("silver_medal", True),
        ("bronze_medal", False),
        ("above_median", True),
        ("submission_exists", True),
        ("valid_submission", True),
        ("is_lower_better", True),
        ("created_at", "2026-01-02T03:04:05.000678"),
        ("submission_path", "a/submission.csv"),
    ]


def test_the_report_of_a_missing_submission_still_names_the_thresholds() -> None:
    found = report(score=None, exists=False, path="None")
    assert (found.score, found.valid_submission, found.submission_exists, found.any_medal) == (
        None,
        False,
        False,
        False,
    )
    assert found.gold_threshold == 0.05589 and found.submission_path == "None"


def test_a_score_that_is_no_number_is_valid_and_written_as_mle_bench_writes_it() -> None:
    found = report("us-patent-phrase-to-phrase-matching", math.nan)
    assert found.valid_submission and not found.any_medal and not found.above_median
    assert '"score": NaN' in text_of(grading_report([found]))


def test_the_aggregate_report_counts_and_keeps_the_order() -> None:
    reports = [report(score=0.05), report(score=0.06), report(score=0.2), report(score=None, exists=False)]
    found = grading_report(reports)
    assert list(found) == [
        "total_runs",
        "total_runs_with_submissions",
        "total_valid_submissions",
        "total_medals",
        "total_gold_medals",
        "total_silver_medals",
        "total_bronze_medals",
        "total_above_median",
        "competition_reports",
    ]
    assert list(found.values())[:8] == [4, 3, 3, 2, 1, 1, 0, 2]
    assert [one["score"] for one in found["competition_reports"]] == [0.05, 0.06, 0.2, None]
    assert file_name(datetime(2026, 1, 2, 3, 4, 5)) == "2026-01-02T03-04-05-GMT_grading_report.json"


NEAR = 0.0101
"""Published figures have two decimals, some of them cut off instead of rounded."""
WHOLE = [
    one
    for one in published()
    if all(
        abs(medals - round(medals)) < NEAR * 3 * size / 100
        for size, medals in ((size, getattr(one, part) * 3 * size / 100) for part, size in SIZES.items())
    )
]
"""Rows whose every figure is a whole number of medals in three seeds; the others had more seeds."""


def counts(one: Row, part: str) -> list[tuple[int, ...]]:
    """Medals of three seeds that have the published mean and error, in every order."""
    size, (mean, error) = SIZES[part], one.value(part) or (0.0, 0.0)  # type: ignore[arg-type]
    total = round(mean * 3 * size / 100)
    return [
        (a, b, total - a - b)
        for a, b in itertools.product(range(size + 1), repeat=2)
        if 0 <= total - a - b <= size
        and abs(100 / size * statistics.stdev((a, b, total - a - b)) / math.sqrt(3) - error) < NEAR
    ]


def seeds_of(one: Row) -> list[tuple[int, int, int]]:
    """Medals of Low, Medium and High in three seeds that have the published errors of the splits and of all."""
    whole = set(counts(one, "all"))
    for low, medium, high in itertools.product(*(counts(one, part) for part in ("low", "medium", "high"))):
        seeds = list(zip(low, medium, high, strict=True))
        if tuple(map(sum, seeds)) in whole:
            return seeds
    return []


def reports_of(seeds: list[tuple[int, int, int]]) -> list[list[dict[str, Any]]]:
    """A report per seed with so many medals in each split."""
    found = []
    for medals in seeds:
        won = {name for part, n in zip(("low", "medium", "high"), medals, strict=True) for name in split(part)[:n]}
        found.append([row(name, name in won) for name in split("split75")])
    return found


def test_the_published_row_of_famou_agent_comes_out() -> None:
    # 32, 34 and 32 medals of 75, as its three published reports say.
    rows = [one for seed in reports_of([(13, 14, 5), (14, 15, 5), (14, 13, 5)]) for one in seed]
    published_ = {"split75": (43.56, 0.89), "low": (62.12, 1.52), "medium": (36.84, 1.52), "high": (33.33, 0.0)}
    for name, (mean, error) in published_.items():
        found = aggregate(rows, split(name))
        any_medal = found["metrics"]["any_medal_percentage"]
        assert round(any_medal["mean"], 2) == mean and round(any_medal["standard_error"], 2) == error
        assert any_medal["ci_upper"] - any_medal["mean"] == pytest.approx(1.96 * any_medal["standard_error"])
        assert found["num_seeds_averaged"] == 3 and found["num_competitions_per_seed"] == len(split(name))
        assert found["metrics"]["total_competitions"]["mean"] == len(split(name))


def test_most_published_rows_are_whole_medals_of_three_seeds() -> None:
    assert len(WHOLE) == 24 and len(published()) == 30


@pytest.mark.parametrize("one", WHOLE, ids=lambda one: f"{one.agent} {one.llm} {one.hours:g}")
def test_reports_with_the_medals_behind_a_published_row_give_that_row(one: Row, tmp_path: Path) -> None:
    paths = []
    for place, rows in enumerate(reports_of(seeds_of(one))):
        paths.append(tmp_path / f"seed-{place}.json")
        paths[-1].write_text(json.dumps({"competition_reports": rows}))
    ours = own_row(paths, agent=one.agent, llm=one.llm, hours=one.hours, hardware=one.hardware)
    for part in PARTS:
        assert ours.value(part) == pytest.approx(one.value(part), abs=NEAR)
    assert ours.seeds == 3


def test_the_splits_have_their_sizes() -> None:
    sizes = {name: len(split(name)) for name in ("low", "lite", "medium", "high", "split75", "dev", "systemcard")}
    assert sizes == {"low": 22, "lite": 22, "medium": 38, "high": 15, "split75": 75, "dev": 7, "systemcard": 30}
    assert sum(one.lower_is_better for one in competitions().values() if one.complexity != "dev") == 22
    card = [competition(name).complexity for name in split("systemcard")]
    assert [card.count(part) for part in ("low", "medium", "high")] == [5, 20, 5]


def test_seeds_are_rows_by_order_of_reading_and_surplus_rows_are_dropped() -> None:
    rows = [row("leaf-classification", True), row("spaceship-titanic", True), row("spaceship-titanic", False)]
    ids = ["leaf-classification", "spaceship-titanic"]
    assert aggregate(rows, ids)["num_seeds_averaged"] == 1
    padded = aggregate(rows, ids, pad=True)
    assert padded["num_seeds_averaged"] == 2
    assert padded["metrics"]["any_medal_percentage"] == pytest.approx(
        {"mean": 50.0, "standard_error": 50.0, "ci_lower": -48.0, "ci_upper": 148.0}
    )
    assert padded["metrics"]["submission_exists_percentage"]["mean"] == 75.0


def test_a_competition_without_a_run_is_named_or_counted_as_a_failure() -> None:
    rows = [row("leaf-classification", True)]
    with pytest.raises(UsageError, match=r"1 of 2 .*spaceship-titanic.*--pad-missing"):
        aggregate(rows, ["leaf-classification", "spaceship-titanic"])
    padded = aggregate(rows, ["leaf-classification", "spaceship-titanic"], pad=True)
    assert padded["metrics"]["any_medal_percentage"]["mean"] == 50.0
    with pytest.raises(UsageError, match="3 seeds"):
        aggregate(rows, ["leaf-classification"], seeds=3)
    with pytest.raises(UsageError, match="no graded run"):
        aggregate([], ["leaf-classification"], pad=True)


def test_reports_are_read_by_path_and_by_competition(tmp_path: Path) -> None:
    for name, ids in (("b", ["spaceship-titanic"]), ("a", ["spaceship-titanic", "leaf-classification"])):
        text = json.dumps({"competition_reports": [row(one, name == "a") | {"score": math.nan} for one in ids]})
        (tmp_path / f"{name}.json").write_text(text)
    found = read(tmp_path.glob("*.json"))
    assert [(one["competition_id"], one["any_medal"]) for one in found] == [
        ("leaf-classification", True),
        ("spaceship-titanic", True),
        ("spaceship-titanic", False),
    ]


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"competition_reports": [{}]}', '{"competition_reports": 3}'])
def test_a_file_that_is_no_report_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(UsageError, match=r"x\.json is no grading report"):
        read([tmp_path / "x.json"])


@given(st.lists(st.lists(st.booleans(), min_size=3, max_size=3), min_size=1, max_size=6))
def test_percentages_are_shares_and_their_interval_holds_the_mean(won: list[list[bool]]) -> None:
    ids = ["leaf-classification", "spaceship-titanic", "AI4Code"]
    rows = [row(name, one) for seed in won for name, one in zip(ids, seed, strict=True)]
    found = aggregate(rows, ids)["metrics"]["any_medal_percentage"]
    assert found["mean"] == pytest.approx(100 * sum(map(sum, won)) / (3 * len(won)))
    assert found["ci_lower"] <= found["mean"] <= found["ci_upper"]
    assert (found["standard_error"] == 0) == (len({sum(seed) for seed in won}) == 1)
