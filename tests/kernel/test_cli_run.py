"""How `gome run` says what came out; whole runs from the command line are in `tests/end_to_end`."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from gome.kernel.cli.run import conclude
from gome.kernel.results import Summary


def summary(outcome: str, folder: Path) -> Summary:
    return Summary(
        run="r1",
        task="houses",
        metric="rmse",
        greater_is_better=False,
        outcome=outcome,
        reason="the data could not be profiled",
        attempt="",
        score=None,
        score_se=None,
        hidden=None,
        hidden_se=None,
        over_baseline=None,
        over_first=None,
        steps=0,
        accepted=0,
        failed=0,
        executions=0,
        seconds=0.0,
        payers=(),
        findings=(),
        folder=str(folder),
    )


def test_a_run_that_handed_in_nothing_names_the_files_that_it_left_and_no_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "gome-houses-r1"
    folder.mkdir()
    (folder / "REPORT.md").write_text("# nothing\n")
    assert conclude(cast(Any, SimpleNamespace(summary=summary("failed", folder))), as_json=False) == 1
    assert "results  gome-houses-r1/   (REPORT.md)" in capsys.readouterr().out
    for name in ("best_program.py", "submission.csv"):
        (folder / name).touch()
    assert conclude(cast(Any, SimpleNamespace(summary=summary("done", folder))), as_json=False) == 0
    assert "gome-houses-r1/   (best_program.py, submission.csv, REPORT.md)" in capsys.readouterr().out
