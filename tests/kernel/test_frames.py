"""Trajectories as tables: one row per attempt, the documented columns and types, the same content in every format."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pandas as pd
import pytest

from gome.events import (
    AttemptAccepted,
    AttemptRejected,
    Event,
    ExecutionFinished,
    Hypothesis,
    HypothesisProposed,
    Payload,
    StepPlanned,
    SubmissionScored,
    Trajectory,
)
from gome.kernel.errors import UsageError
from gome.kernel.frames import COLUMNS, rows, to_frame, write_csv, write_json, write_parquet


def folded(*payloads: Payload) -> Trajectory:
    trajectory = Trajectory()
    for i, payload in enumerate(payloads):
        trajectory.apply(Event(str(i), type(payload).__name__, i + 1, 100.0 + i, payload, active=float(i)))
    return trajectory


@pytest.fixture
def trajectory() -> Trajectory:
    """A baseline, an accepted attempt, a failed one and an open one."""
    return folded(
        SubmissionScored("baseline", "full", 0.5),
        StepPlanned("a1", 0, 1),
        StepPlanned("a2", 1, 1),
        HypothesisProposed("a1", Hypothesis('say "log", loudly', "target", move="log")),
        ExecutionFinished("a1", "full", True, seconds=2.5),
        SubmissionScored("a1", "full", 0.4, se=0.01),
        AttemptAccepted("a1", gain=0.1, noise=0.02, rule="t", reason="better"),
        AttemptRejected("a2", reason="no memory", failure="memory", rule="failed"),
        StepPlanned("a3", 0, 2, kind="improve", stage="improve", parent="a1"),
    )


def test_each_attempt_is_one_row_in_planning_order_with_the_baseline_first(trajectory: Trajectory) -> None:
    frame = to_frame(trajectory)
    assert list(frame.columns) == list(COLUMNS)
    assert list(frame["attempt"]) == ["baseline", "a1", "a2", "a3"]
    assert list(frame["trace"]) == [-1, 0, 1, 0]
    assert frame.loc[3, "parent"] == "a1"


def test_what_is_not_known_is_missing_and_not_zero(trajectory: Trajectory) -> None:
    frame = to_frame(trajectory).set_index("attempt")
    assert frame["score"].isna().to_dict() == {"baseline": False, "a1": False, "a2": True, "a3": True}
    assert frame["gain"].isna().to_dict() == {"baseline": True, "a1": False, "a2": False, "a3": True}
    assert frame.loc["a1", "accepted"] is True or bool(frame.loc["a1", "accepted"])
    assert pd.isna(frame.loc["a3", "accepted"])
    assert frame.loc["a1", "seconds"] == 2.5 and frame.loc["a2", "failure"] == "memory"


def test_types_do_not_depend_on_what_is_in_the_rows(trajectory: Trajectory) -> None:
    assert to_frame(trajectory).dtypes.to_dict() == to_frame(folded()).dtypes.to_dict()


def test_several_trajectories_are_told_apart_by_run(trajectory: Trajectory) -> None:
    frame = to_frame({"x": trajectory, "y": folded(StepPlanned("a1", 0, 1))})
    assert frame.groupby("run").size().to_dict() == {"x": 4, "y": 1}


def test_csv_json_and_parquet_hold_the_same_table(trajectory: Trajectory, tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    wanted = to_frame({"r": trajectory})
    text, lines = io.StringIO(), io.StringIO()
    write_csv(trajectory, "r", text)
    write_json(trajectory, "r", lines)
    write_parquet(trajectory, "r", tmp_path / "t.parquet")
    numbers = ["score", "gain", "noise", "seconds", "planned_at"]
    texts = ["run", "attempt", "statement", "reason", "failure"]
    read = pd.read_csv(io.StringIO(text.getvalue()), keep_default_na=False, na_values={n: [""] for n in numbers})
    objects = pd.DataFrame(map(json.loads, lines.getvalue().splitlines()))
    for other in (read, objects, pd.read_parquet(tmp_path / "t.parquet")):
        assert list(other.columns) == list(COLUMNS)
        pd.testing.assert_frame_equal(other[numbers].astype(float), wanted[numbers])
        assert other[texts].to_numpy().tolist() == wanted[texts].to_numpy().tolist()


def test_a_snapshot_gives_the_rows_of_its_moment(trajectory: Trajectory) -> None:
    view = trajectory.snapshot()
    before = list(rows(view))
    trajectory.apply(Event("x", "AttemptRejected", 10, 110.0, AttemptRejected("a3", rule="t"), active=10.0))
    trajectory.apply(Event("y", "StepPlanned", 11, 111.0, StepPlanned("a4", 0, 3), active=11.0))
    assert list(rows(view)) == before and len(list(rows(trajectory))) == 5


def test_a_folder_that_is_not_there_is_wrong_usage(trajectory: Trajectory, tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    with pytest.raises(UsageError, match="cannot write"):
        write_parquet(trajectory, "r", tmp_path / "no" / "t.parquet")
