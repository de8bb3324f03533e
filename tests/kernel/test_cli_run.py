"""How `gome run` says what came out; whole runs from the command line are in `tests/end_to_end`."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import msgspec
import pytest

from gome.events import Artifact, Event, Ledger, Metric, RunFinished, RunStarted, Task, Trajectory
from gome.kernel.cli.run import conclude
from gome.kernel.results import Summary, summarise

FILE = Artifact("sha256-x", 1)


def summary(folder: Path) -> Summary:
    """Of a run that handed in nothing, whose results lie in a folder."""
    t = Trajectory()
    task = Task("houses", "regression", Metric("rmse", False), "y", "id", (), FILE, FILE, 10, 5)
    for payload in (RunStarted(task, seed=1), RunFinished("failed", "the data could not be profiled")):
        t.apply(Event(f"e{t.seq + 1}", type(payload).__name__, t.seq + 1, 0.0, payload))
    return msgspec.structs.replace(summarise("r1", t, {}, Ledger()), folder=str(folder))


def test_a_run_that_handed_in_nothing_names_the_files_that_it_left_and_no_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "gome-houses-r1"
    folder.mkdir()
    (folder / "REPORT.md").write_text("# nothing\n")
    done = cast(Any, SimpleNamespace(summary=summary(folder)))
    assert conclude(done, as_json=False) == 1
    said = capsys.readouterr().out
    assert "houses: failed (the data could not be profiled)" in said
    assert "results  gome-houses-r1/   (REPORT.md)" in said
    for name in ("best_program.py", "submission.csv"):
        (folder / name).touch()
    conclude(done, as_json=False)
    assert "gome-houses-r1/   (best_program.py, submission.csv, REPORT.md)" in capsys.readouterr().out
