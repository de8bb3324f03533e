"""A report agrees with what pandas makes of the exported Parquet, by other code and in another order."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import numpy as np
import pandas as pd
import pytest

from gome.plugins.bench.report.build import BenchReport, build
from gome.plugins.bench.report.crossover import TREES
from gome.plugins.bench.table import read_table, write_table
from tests.plugins.bench.report.invented import bench

BLOCK = ["task", "split_seed", "seed"]


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> tuple[BenchReport, pd.DataFrame]:
    pytest.importorskip("pyarrow")
    path = tmp_path_factory.mktemp("table") / "table.parquet"
    write_table(path, bench(fail=0.15))
    frame = pd.read_parquet(path)
    frame["strength"] = [json.loads(text)["strength"] for text in frame.factors]
    sign = frame.greater_is_better.map({True: 1.0, False: -1.0})
    frame["score"] = sign * frame.hidden
    by_split = frame.groupby(["task", "split_seed"])
    best = np.fmax(by_split.score.transform("max"), sign * frame.reference)
    frame["gap"] = best - sign * frame.baseline
    frame["share"] = (frame.score - sign * frame.baseline) / frame.gap
    worst = frame.groupby(BLOCK).share.transform("min").clip(upper=0.0)
    frame["share"] = frame.share.fillna(worst)
    return build(read_table(path)), frame


def over_tasks(frame: pd.DataFrame, column: str) -> pd.Series:
    """Task means of split means of seed means."""
    return frame.groupby(["task", "split_seed"])[column].mean().groupby("task").mean()


def test_mean_shares_and_their_errors(told: tuple[BenchReport, pd.DataFrame]) -> None:
    report, frame = told
    (part,) = report.parts
    assert frame.hidden.isna().sum() > 10 and len(part.standings) == 16
    for standing in part.standings:
        own = frame[(frame.search == standing.search) & (frame.strength == float(standing.factors["strength"]))]
        tasks = over_tasks(own, "share")
        assert standing.share.mean == pytest.approx(tasks.mean())
        assert standing.share.sem == pytest.approx(tasks.std(ddof=1) / np.sqrt(len(tasks)))
        assert standing.by_task == pytest.approx(tasks.to_dict())
        assert standing.failed == own.hidden.isna().sum()
        assert standing.finished.mean == pytest.approx(over_tasks(own[own.hidden.notna()], "share").mean())


def test_raw_scores_by_task(told: tuple[BenchReport, pd.DataFrame]) -> None:
    report, frame = told
    for result in report.parts[0].tasks:
        search, strength = result.arm.split(" · strength ")
        own = frame[(frame.task == result.task) & (frame.search == search) & (frame.strength == float(strength))]
        assert result.hidden.mean == pytest.approx(own.groupby("split_seed").hidden.mean().mean())
        assert result.runs == len(own)


def test_paired_differences_and_wins(told: tuple[BenchReport, pd.DataFrame]) -> None:
    report, frame = told
    key = [*BLOCK, "strength"]
    for pair in report.parts[0].paired:
        sides = [frame[frame.search == name].set_index(key)[["share", "score"]] for name in (pair.one, pair.other)]
        both = sides[0].join(sides[1], suffixes=("_1", "_2"), how="inner").reset_index()
        if pair.context:
            both = both[both.strength == float(pair.context.removeprefix("strength "))]
        both["difference"] = both.share_1 - both.share_2
        assert pair.difference.mean == pytest.approx(over_tasks(both, "difference").mean())
        one, other = both.score_1.fillna(-np.inf), both.score_2.fillna(-np.inf)
        assert (pair.wins, pair.ties, pair.losses) == ((one > other).sum(), (one == other).sum(), (one < other).sum())
        assert pair.blocks == len(both)


def test_selection_losses_and_costs(told: tuple[BenchReport, pd.DataFrame]) -> None:
    report, frame = told
    frame["loss"] = ((frame.best_hidden - frame.hidden).abs() / frame.gap).where(frame.hidden.notna())
    for line in report.parts[0].selection:
        search, strength = line.arm.split(" · strength ")
        own = frame[(frame.search == search) & (frame.strength == float(strength)) & frame.hidden.notna()]
        assert line.loss.mean == pytest.approx(over_tasks(own, "loss").mean())
    for cost in report.parts[0].costs:
        search, strength = cost.arm.split(" · strength ")
        own = frame[(frame.search == search) & (frame.strength == float(strength))]
        assert cost.mean["seconds"] == pytest.approx(own.seconds.mean())
        assert cost.total["executions"] == own.executions.sum()


def test_the_slope_of_the_lead_over_quality(told: tuple[BenchReport, pd.DataFrame]) -> None:
    report, frame = told
    wide = frame.pivot_table(index=[*BLOCK, "strength"], columns="search", values="share")
    wide["lead"] = wide.gradient - (wide.aide + wide.mlmaster) / 2
    wide["quality"] = frame.pivot_table(index=[*BLOCK, "strength"], values="quality")
    levels = [wide.xs(s, level="strength").reset_index() for s in sorted(frame.strength.unique())]
    lead, quality = ([over_tasks(level, name).mean() for level in levels] for name in ("lead", "quality"))
    slope = next(s for s in report.parts[0].crossover.slopes if s.other == TREES)
    assert slope.slope.value == pytest.approx(np.polyfit(quality, lead, 1)[0])
    assert (slope.lowest, slope.highest) == pytest.approx((min(quality), max(quality)))


def test_intervals_are_those_of_a_plain_loop_over_tasks_splits_and_seeds(
    told: tuple[BenchReport, pd.DataFrame],
) -> None:
    report, frame = told
    pair = next(p for p in report.parts[0].paired if p.other == "aide" and p.context == "strength 1")
    sides = [frame[(frame.search == s) & (frame.strength == 1.0)].set_index(BLOCK).share for s in ("gradient", "aide")]
    groups = {
        task: [list(split) for _, split in there.groupby(level="split_seed")]
        for task, there in (sides[0] - sides[1]).groupby(level="task")
    }
    rng = np.random.default_rng(11)
    draws = []
    for _ in range(3_000):
        tasks = [groups[t] for t in rng.choice(list(groups), len(groups))]
        splits = [[task[k] for k in rng.integers(len(task), size=len(task))] for task in tasks]
        draws.append(np.mean([np.mean([rng.choice(seeds, len(seeds)).mean() for seeds in task]) for task in splits]))
    low, high = np.quantile(draws, [0.025, 0.975])
    width = high - low
    assert pair.difference.low == pytest.approx(low, abs=width / 12)
    assert pair.difference.high == pytest.approx(high, abs=width / 12)


def test_parquet_and_json_lines_tell_the_same(told: tuple[BenchReport, pd.DataFrame], tmp_path: Path) -> None:
    report, _ = told
    rows = bench(fail=0.15)
    write_table(tmp_path / "table.jsonl", rows[::-1])
    again = build(read_table(tmp_path / "table.jsonl"))
    assert msgspec.json.encode(again) == msgspec.json.encode(report)
