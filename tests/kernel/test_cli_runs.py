"""Verbs over recorded runs, against a real embedded server: what they print, and how they end."""

from __future__ import annotations

import csv
import dataclasses
import importlib.util
import io
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import anyio
import msgspec
import pytest

from gome.events import (
    Artifact,
    Attempt,
    AttemptAccepted,
    Draw,
    Event,
    ExecutionFinished,
    Payload,
    SubmissionGraded,
    Trajectory,
)
from gome.kernel.cli.show import show_attempt
from gome.kernel.connect import Connection, Vaults, connect, grades
from gome.kernel.frames import COLUMNS, read, to_frame
from gome.kernel.owner import owner_lock
from gome.kernel.settings import load
from gome.kernel.testing import Killed
from tests.kernel import recorded
from tests.kernel.verbs import Gome


@contextmanager
def opened() -> Iterator[Callable[..., Any]]:
    """Run coroutine functions over a connection of our own."""

    def go(function: Callable[[Connection], Any]) -> Any:
        async def work() -> Any:
            async with connect(load()) as connection:
                return await function(connection)

        return anyio.run(work)

    yield go


def test_runs_are_listed_with_state_and_best_score(gome: Gome) -> None:
    said = gome("runs")
    assert said.code == 0
    done, open_ = said.out.splitlines()[1], said.out.splitlines()[2]
    assert done.split()[:4] == ["toy-done", "toy", "done", "rmse"]
    assert open_.split()[:3] == ["toy-open", "toy", "open"]


def test_runs_are_lines_of_json_for_machines(gome: Gome) -> None:
    done, open_ = (row for row in gome("runs", "--json").lines if row["run"] in ("toy-done", "toy-open"))
    assert (done["state"], done["steps"], done["accepted"], done["owner"]) == ("done", 6, 5, "")
    assert open_["state"] == "open" and open_["events"] < done["events"]


def test_a_run_that_is_driven_names_its_process(gome: Gome, home: Path) -> None:
    with owner_lock(home, "toy-open"):
        rows = {row["run"]: row for row in gome("runs", "--json").lines}
        assert str(os.getpid()) in rows["toy-open"]["owner"]
        assert f"in process {os.getpid()}" in gome("runs").out


def test_show_gives_the_result_and_a_row_per_attempt(gome: Gome) -> None:
    said = gome("show", "toy-done")
    assert said.code == 0
    assert "validation rmse" in said.out and "hidden rmse 0.75000 ± 0.02000" in said.out
    assert "reasoner toy-reasoner 1" in said.out
    assert [line.split()[0] for line in said.out.splitlines() if line.startswith("a")][1:] == [
        f"a{i}" for i in range(1, 7)
    ]


def test_hidden_scores_are_not_shown_while_a_run_is_open(gome: Gome) -> None:
    with opened() as go:

        async def grade(connection: Connection) -> dict[str, SubmissionGraded]:
            await Vaults(connection).of("toy-open", "x").record(SubmissionGraded("a1", 0.123456))
            return await grades(connection, "toy-open")

        assert "a1" in go(grade)
    for arguments in (["toy-open"], ["toy-open", "--attempt", "a1"], ["toy-open", "--json"]):
        assert "0.12345" not in gome("show", *arguments).out


def test_show_of_an_attempt_has_its_program_diff_diagnostics_and_feedback(gome: Gome) -> None:
    said = gome("show", "toy-done", "--attempt", "a2")
    assert said.code == 0
    for text in ("print a2 louder", "it was hard to hear", "loud is good", '"gap": 0.25', "import this", "rule toy"):
        assert text in said.out
    (line,) = gome("show", "toy-done", "--attempt", "a2", "--json").lines
    assert line["program"] == "import this\nprint('a2')\n" and line["verdict"] == "accepted"


def test_show_of_a_failed_attempt_says_how_it_failed(gome: Gome) -> None:
    said = gome("show", "toy-done", "--attempt", "a3")
    assert "killed: no such luck" in said.out


def test_show_of_an_attempt_has_a_line_per_execution_and_says_where_long_output_lies(
    capsys: pytest.CaptureFixture[str],
) -> None:
    long = Artifact("sha256-" + "0" * 64, 123_456, "stdout.txt", "text/plain")
    debug = ExecutionFinished(
        attempt="a1", purpose="debug", ok=True, seconds=2.5, sampled=2000, cached=True, estimated_seconds=90.0
    )
    full = ExecutionFinished(
        attempt="a1", purpose="full", ok=False, failure="numeric", exception="LinAlgError", streams={"stdout.txt": long}
    )
    attempt = Attempt(id="a1", executions=(debug, full))
    show_attempt("r1", Trajectory(), attempt, {}, as_json=False)
    lines = capsys.readouterr().out.splitlines()
    (first,) = (line.split() for line in lines if line.startswith("debug"))
    assert first[:4] == ["debug", "ok", "–", "2.5"]
    assert any("2000 training rows, in full about 1 m 30 s, answered by an earlier one" in line for line in lines)
    assert any(line.split()[:3] == ["full", "numeric", "LinAlgError"] for line in lines)
    assert f"  full: all of stdout.txt (123,456 bytes) is artifact {long.digest}" in lines


def test_an_attempt_that_does_not_exist_is_named_with_those_that_do(gome: Gome) -> None:
    said = gome("show", "toy-done", "--attempt", "a66")
    assert said.code == 2 and "no attempt 'a66'; did you mean a6" in said.err


@pytest.mark.parametrize("verb", ["show", "tail", "stop", "trajectory", "verify"])
def test_a_run_that_does_not_exist_is_wrong_usage_and_near_ids_are_named(gome: Gome, verb: str) -> None:
    said = gome(verb, "toy-dome")
    assert said.code == 2
    assert "there is no run 'toy-dome'" in said.err and "did you mean toy-done" in said.err
    assert said.err.count("\n") == 1


def test_an_error_is_a_line_of_json_where_json_was_asked_for(gome: Gome) -> None:
    said = gome("show", "toy-dome", "--json")
    assert said.code == 2 and said.err == ""
    assert said.lines[0]["exit_code"] == 2 and "toy-dome" in said.lines[0]["error"]


def test_tail_of_a_finished_run_prints_every_event_and_ends(gome: Gome) -> None:
    said = gome("tail", "toy-done")
    assert said.code == 0
    lines = said.out.splitlines()
    assert "RunStarted" in lines[0] and "RunFinished" in lines[-1]
    assert [int(line.split()[0]) for line in lines] == list(range(1, len(lines) + 1))
    assert any("AttemptAccepted" in line and "it ran" in line for line in lines)
    assert gome("tail", "toy-done", "--last", "3").out.splitlines() == lines[-3:]


def test_tail_for_machines_has_envelope_and_payload_of_every_event(gome: Gome) -> None:
    first, *_, last = gome("tail", "toy-done", "--json").lines
    assert first["type"] == "RunStarted" and first["payload"]["task"]["name"] == "toy"
    assert last["type"] == "RunFinished" and last["payload"]["outcome"] == "done" and last["cause"]


def test_tail_follows_a_run_that_is_going_on_to_its_end(gome: Gome, home: Path) -> None:
    with opened() as go, suppress(Killed):
        go(lambda c: recorded.record(c, "toy-live", stop_after=5))
    command = [sys.executable, "-m", "gome.kernel.cli", "tail", "toy-live"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as tail:
        assert tail.stdout is not None
        assert "RunStarted" in tail.stdout.readline()
        with opened() as go:
            go(lambda c: recorded.record(c, "toy-live"))
        rest = tail.stdout.read().splitlines()
        assert tail.wait() == 0
    assert "RunFinished" in rest[-1]
    assert len(rest) + 1 == len(gome("tail", "toy-live").out.splitlines())


def test_a_recorded_run_verifies(gome: Gome) -> None:
    said = gome("verify", "toy-done")
    assert said.code == 0, said.err
    assert said.out.startswith("verified: ") and "hidden grades; finished" in said.out
    (line,) = gome("verify", "toy-done", "--json").lines
    assert line["verified"] and line["divergences"] == [] and line["changed"] == []


def test_an_open_run_verifies_up_to_its_head(gome: Gome) -> None:
    said = gome("verify", "toy-open")
    assert said.code == 0 and "; open" in said.out


def test_a_changed_decision_ends_with_4_and_is_named(gome: Gome, monkeypatch: pytest.MonkeyPatch) -> None:
    original = recorded.judge

    def kinder(state: Any, event: Event, draw: Draw) -> list[Payload]:
        said = original.decide(state, event, draw)
        return [msgspec.structs.replace(p, gain=0.2) if isinstance(p, AttemptAccepted) else p for p in said]

    changed = dataclasses.replace(recorded.judge, decide=kinder)
    monkeypatch.setattr(recorded, "judge", changed)
    said = gome("verify", "toy-done")
    assert said.code == 4 and said.out == ""
    assert "run toy-done, event" in said.err and "decider toy-judge" in said.err
    assert "payload.gain was recorded as 0.1, computed now 0.2" in said.err
    assert gome("verify", "toy-done", "--json").lines[0]["divergences"][0]["decider"] == "toy-judge"
    assert len(gome("verify", "toy-done", "--json", "--report").lines[0]["divergences"]) > 1


def test_a_run_whose_plugin_is_gone_is_wrong_usage(gome: Gome, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOME_LOAD_PLUGINS", "toy-search,toy-memory")
    said = gome("verify", "toy-done")
    assert said.code == 2 and "toy-reasoner" in said.err
    # What the record says can be shown all the same.
    assert gome("show", "toy-done").code == 0


def test_stop_is_an_event_that_waits_for_whoever_drives_the_run(gome: Gome) -> None:
    with opened() as go, suppress(Killed):
        go(lambda c: recorded.record(c, "toy-stop", stop_after=6))
    said = gome("stop", "toy-stop", "--reason", "enough")
    assert said.code == 0 and "gome run --resume toy-stop" in said.out
    assert gome("tail", "toy-done").code == 0
    assert "asked to stop already" in gome("stop", "toy-stop").out
    with opened() as go:
        go(lambda c: recorded.record(c, "toy-stop"))
    lines = gome("tail", "toy-stop").out.splitlines()
    assert sum("StopRequested" in line and "enough" in line for line in lines) == 1
    assert "stopped" in lines[-1]
    assert gome("verify", "toy-stop").code == 0


def test_a_finished_run_cannot_be_stopped(gome: Gome) -> None:
    before = gome("tail", "toy-done").out
    said = gome("stop", "toy-done")
    assert said.code == 0 and "finished already (done)" in said.out
    assert gome("tail", "toy-done").out == before


def test_a_trajectory_is_a_table_csv_or_json_with_the_documented_columns(gome: Gome) -> None:
    assert gome("trajectory", "toy-done").out.split()[0] == "attempt"
    rows = list(csv.DictReader(io.StringIO(gome("trajectory", "toy-done", "--format", "csv").out)))
    assert list(rows[0]) == list(COLUMNS) and [r["attempt"] for r in rows] == [f"a{i}" for i in range(1, 7)]
    objects = gome("trajectory", "toy-done", "--format", "json").lines
    assert [o["accepted"] for o in objects] == [r["accepted"] == "true" for r in rows]
    assert objects == gome("trajectory", "toy-done", "--json").lines


def test_a_trajectory_is_written_as_parquet(gome: Gome, tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    said = gome("trajectory", "toy-done", "--format", "parquet", "--out", "t.parquet")
    assert said.code == 0 and "wrote 6 attempts" in said.err
    frame = pandas.read_parquet(tmp_path / "t.parquet")
    assert list(frame.columns) == list(COLUMNS) and set(frame["run"]) == {"toy-done"}


def test_several_runs_or_all_of_them_are_one_table(gome: Gome, tmp_path: Path) -> None:
    objects = gome("trajectory", "toy-done", "toy-open", "--json").lines
    assert {o["run"] for o in objects} == {"toy-done", "toy-open"}
    everything = gome("trajectory", "--all", "--format", "csv", "--out", "t.csv")
    assert everything.code == 0 and len((tmp_path / "t.csv").read_text().splitlines()) > len(objects)
    assert gome("trajectory", "toy-open", "toy-done").out.startswith("toy-open:\nattempt")
    assert gome("trajectory").code == gome("trajectory", "--all", "toy-done").code == 2
    pandas = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    assert gome("trajectory", "--all", "--format", "parquet", "--out", "t.parquet").code == 0
    assert set(pandas.read_parquet(tmp_path / "t.parquet")["run"]) >= {"toy-done", "toy-open"}


def test_a_frame_of_runs_of_the_log_needs_no_event_loop(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOME_HOME", str(home))
    frame = to_frame(read("toy-done", "toy-open"))
    assert set(frame["run"]) == {"toy-done", "toy-open"} and (frame["hypothesis"] != "").any()
    assert set(read()) >= {"toy-done", "toy-open"}


NOTEBOOK = """
from gome.kernel.frames import read, to_frame

frame = to_frame(read(*RUNS))
ax = None
for run, attempts in frame[frame["decision"] != "reference"].groupby("run"):
    direction = "cummin" if LOWER_IS_BETTER else "cummax"
    best = attempts["score"].where(attempts["decision"] == "accepted")
    curve = pandas.DataFrame({"cost in seconds": attempts["seconds"].cumsum(), run: getattr(best, direction)().ffill()})
    ax = curve.plot(x="cost in seconds", y=run, drawstyle="steps-post", ylabel="best score", ax=ax)
"""
"""The README's example of a notebook."""


def test_the_notebook_of_the_readme_plots_score_against_cost_of_several_runs(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pandas = pytest.importorskip("pandas")
    monkeypatch.setenv("GOME_HOME", str(home))
    drawn: list[tuple[str, Any]] = []
    if importlib.util.find_spec("matplotlib") is None:
        # Without a library that draws, what would be drawn is looked at.
        def plot(frame: Any, *, x: str, y: str, **how: Any) -> object:
            drawn.append((y, frame[[x, y]]))
            return object()

        monkeypatch.setattr(pandas.DataFrame, "plot", plot)
        exec(NOTEBOOK, {"RUNS": ("toy-done", "toy-open"), "LOWER_IS_BETTER": True, "pandas": pandas})
        assert [name for name, _ in drawn] == ["toy-done", "toy-open"]
        (_, curve), _ = drawn
        assert curve["cost in seconds"].is_monotonic_increasing and curve["toy-done"].dropna().is_monotonic_decreasing
        return
    space: dict[str, Any] = {"RUNS": ("toy-done", "toy-open"), "LOWER_IS_BETTER": True, "pandas": pandas}
    exec("import matplotlib; matplotlib.use('agg')\n" + NOTEBOOK, space)
    assert [line.get_label() for line in space["ax"].get_lines()] == ["toy-done", "toy-open"]


def test_parquet_without_pyarrow_says_what_to_install(gome: Gome, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    said = gome("trajectory", "toy-done", "--format", "parquet", "--out", "t.parquet")
    assert said.code == 2 and "gome[parquet]" in said.err


def test_a_file_that_cannot_be_written_is_wrong_usage(gome: Gome) -> None:
    said = gome("trajectory", "toy-done", "--format", "csv", "--out", "no/such/folder/t.csv")
    assert said.code == 2 and "cannot write no/such/folder/t.csv" in said.err


def test_a_server_that_refuses_is_an_unreachable_log(gome: Gome) -> None:
    said = gome("runs", "--nats", "nats://127.0.0.1:1")
    assert said.code == 3 and said.err.count("\n") == 1, said.err
