"""Trajectories as tables: one row per attempt, the documented columns and types, the same content in every format."""

from __future__ import annotations

import io
import json
from contextlib import closing
from pathlib import Path

import pandas as pd
import pytest

from gome.events import (
    Artifact,
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
from gome.kernel import frames
from gome.kernel.errors import UsageError
from gome.kernel.frames import COLUMNS, CsvTable, JsonTable, ParquetTable, rows, to_frame


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
    assert CsvTable(text).add("r", trajectory) == JsonTable(lines).add("r", trajectory) == 4
    with closing(ParquetTable(tmp_path / "t.parquet")) as table:
        table.add("r", trajectory)
    numbers = ["score", "gain", "noise", "seconds", "planned_at"]
    texts = ["run", "attempt", "hypothesis", "decision", "reason", "failure", "submission"]
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


def test_the_columns_that_tell_a_decision_its_scores_and_its_files() -> None:
    made = {"oof.csv": Artifact("sha256-" + "a" * 64, 1), "submission.csv": Artifact("sha256-" + "b" * 64, 1)}
    frame = to_frame(
        folded(
            SubmissionScored("baseline", "full", 0.5),
            StepPlanned("a1", 0, 1),
            ExecutionFinished("a1", "debug", True, outputs={"oof.csv": Artifact("sha256-" + "c" * 64, 1)}),
            ExecutionFinished("a1", "full", True, outputs=made),
            SubmissionScored("a1", "full", 0.4),
            SubmissionScored("a1", "repeat", 0.2, partition=1),
            AttemptAccepted("a1", rule="t"),
            StepPlanned("a2", 0, 2),
            AttemptRejected("a2", rule="t"),
            StepPlanned("a3", 0, 3),
        )
    )
    assert list(frame["decision"]) == ["reference", "accepted", "rejected", "open"]
    assert list(frame["scores"]) == [1, 2, 0, 0]
    assert frame.loc[1, "score_mean"] == pytest.approx(0.3) and frame["score_mean"].isna().tolist()[2:] == [True, True]
    assert [frame.loc[1, "oof"], frame.loc[1, "submission"]] == [made["oof.csv"].digest, made["submission.csv"].digest]
    assert list(frame["oof"])[2:] == ["", ""]


def test_a_parquet_file_of_many_runs_is_written_in_groups_that_hold_few_rows(
    trajectory: Trajectory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    monkeypatch.setattr(frames, "BATCH", 100)
    with closing(ParquetTable(tmp_path / "t.parquet")) as table:
        for number in range(200):
            table.add(f"r{number:03d}", trajectory)
            assert len(table._rows) < 100
    file = parquet.ParquetFile(tmp_path / "t.parquet")
    assert file.num_row_groups == 8 and file.metadata.num_rows == 800
    frame = pd.read_parquet(tmp_path / "t.parquet")
    assert list(frame["run"].unique()) == [f"r{number:03d}" for number in range(200)]
    assert file.schema_arrow.field("gain").metadata[b"about"].decode() == COLUMNS["gain"]


def test_pairs_may_be_made_one_after_the_other(trajectory: Trajectory) -> None:
    assert len(to_frame((name, trajectory) for name in "ab")) == 8


def test_a_folder_that_is_not_there_is_wrong_usage(trajectory: Trajectory, tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    with pytest.raises(UsageError, match="cannot write"):
        ParquetTable(tmp_path / "no" / "t.parquet")
