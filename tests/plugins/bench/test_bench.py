"""`gome bench` as a person meets it: planned, run, watched, killed, gone on with, stopped, shown, exported."""

from __future__ import annotations

import signal
import subprocess
from typing import Any

import pytest

from gome.plugins.bench.table import read_table
from tests.plugins.bench import toys
from tests.plugins.bench.conftest import Terminal

Finished = list[dict[str, Any]]


def untimed(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows without what differs between two benches of one plan: their ids, and time."""
    found = []
    for row in rows:
        curve = [{**point, "seconds": 0.0} for point in row["curve"]]
        found.append({**row, "bench": "", "run": "", "seconds": 0.0, "curve": curve})
    return found


def read_until(process: subprocess.Popen[str], text: str) -> str:
    """Read a process's progress until a text occurs in it."""
    assert process.stderr is not None
    seen = ""
    for line in process.stderr:
        seen += line
        if text in line:
            return seen
    raise AssertionError(f"{text!r} never came: {seen}")


def test_a_bench_runs_every_cell_of_its_suite_and_says_what_came_of_each(finished: Finished) -> None:
    lines = finished
    cells, rows, end = lines[:8], lines[8:16], lines[16]
    assert end == {"bench": "pair", "outcome": "done", "ended": 8, "cells": 8}
    assert {line["outcome"] for line in cells} == {"done"} and cells[-1]["seconds_left"] == 0
    assert len({row["cell"] for row in rows}) == 8
    assert {(row["task"], row["search"], row["seed"]) for row in rows} == {
        (task, search, seed) for task in ("alpha", "beta") for search in ("toy-search", "toy-other") for seed in (0, 1)
    }


def test_rows_hold_scores_costs_and_the_curve_from_logs_and_vault(finished: Finished) -> None:
    lines = finished
    for row in lines[8:16]:
        assert row["hidden"] == pytest.approx(row["validation"] + 0.1)
        assert row["baseline"] == 2.0 and row["best_hidden"] == row["hidden"], "the toy selects by validation"
        assert (row["steps"], row["accepted"], row["executions"], row["metric"]) == (3, 3, 3, "rmse")
        assert row["execution_seconds"] == 6.0 and row["seconds"] > 0
        best = [point["validation_best"] for point in row["curve"]]
        assert len(best) == 3 and best == sorted(best, reverse=True) and best[-1] == row["validation"]
        assert [p["hidden_of_best"] for p in row["curve"]] == pytest.approx([score + 0.1 for score in best])
        assert [point["executions"] for point in row["curve"]] == [1, 2, 3]
        assert row["quality"] is None or -1 <= row["quality"] <= 1
        assert row["commit"] and len(row["playbook"]) == len(row["task_digest"]) == 64


def test_cells_with_one_seed_are_pairs_and_other_tasks_are_other_tasks(finished: Finished) -> None:
    rows = finished[8:16]
    assert len({row["task_digest"] for row in rows}) == 1, "the toys differ by name only"
    assert len({row["validation"] for row in rows}) == 8


def test_a_bench_is_a_run_that_verifies_and_is_shown_as_what_it_is(terminal: Terminal, finished: Finished) -> None:
    verified = {line["run"]: line["verified"] for line in terminal.lines("verify", "--all") if "run" in line}
    assert [verified[run] for run in ("pair", *(row["run"] for row in finished[8:16]))] == [True] * 9
    shown = terminal.gome("show", "pair").out
    assert "of plugin bench" in shown and "they differ" in shown and "gome bench --resume pair" not in shown
    forked = terminal.gome("fork", "pair", "--at", "3")
    assert forked.code == 2 and "nothing is searched" in forked.err
    told = terminal.gome("tail", "pair").out
    assert told.count(" CellFinished ") == 8 and told.splitlines()[-1].endswith("done")
    states = {row["run"]: row["state"] for row in terminal.lines("runs")}
    assert states["pair"] == "done" and sum(run.startswith("pair-") for run in states) == 8


def test_the_same_command_on_a_finished_bench_shows_it_and_runs_nothing(terminal: Terminal, finished: Finished) -> None:
    lines = finished
    before = terminal.executed()
    again = terminal.lines("bench", "pair.toml", "--run", "pair")
    assert again == lines[8:] and terminal.executed() == before


def test_a_bench_of_another_plan_under_the_same_id_is_refused(terminal: Terminal, finished: Finished) -> None:
    terminal.write("more.toml", toys.suite(steps=4))
    done = terminal.gome("bench", "more.toml", "--run", "pair")
    assert done.code == 2 and "another plan" in done.err
    changed = terminal.gome("bench", "pair.toml", "--run", "pair", "--set", "loop.memory=false")
    assert changed.code == 2 and "another plan" in changed.err


def test_the_table_is_the_same_in_parquet_in_json_lines_and_from_an_archive(
    terminal: Terminal, finished: Finished
) -> None:
    lines = finished
    assert terminal.table("pair") == lines[8:16]
    for name in ("pair.parquet", "pair.jsonl"):
        assert terminal.gome("bench", "table", "pair", name).code == 0
    parquet = read_table(terminal.folder / "pair.parquet")
    assert parquet == read_table(terminal.folder / "pair.jsonl") and len(parquet) == 8
    done = terminal.gome("bench", "archive", "pair", "pair.gome")
    assert done.code == 0 and "9 runs" in done.out, done.err
    assert terminal.table("pair.gome:pair") == lines[8:16]


def test_a_dry_run_lists_the_cells_and_estimates_time_from_what_runs_took(
    terminal: Terminal, finished: Finished
) -> None:
    lines = finished
    terminal.write("longer.toml", toys.suite(tasks=2, seeds=3, steps=30))
    plan, *cells = terminal.lines("bench", "longer.toml", "--dry-run", "--parallel", "2")
    assert len(cells) == plan["cells"] == 12 and plan["budget"] == {"steps": 30}
    took = [row["seconds"] for row in lines[8:16]]
    assert min(took) * 10 * 6 <= plan["estimate"]["seconds"] <= max(took) * 10 * 6
    assert plan["estimate"]["money"] == 0
    assert any("finished runs in this log" in line for line in plan["estimate"]["how"])
    shown = terminal.gome("bench", "longer.toml", "--dry-run")
    assert "nothing was started" in shown.out and "12 cells" in shown.out and shown.err == ""


def test_what_is_wrong_is_said_before_anything_runs(terminal: Terminal) -> None:
    terminal.write("wrong.toml", toys.suite().replace('"alpha"', '"alhpa"').replace("'alpha'", "'alhpa'"))
    for args, said in (
        (("bench", "wrong.toml"), "did you mean alpha"),
        (("bench", "smok"), "did you mean smoke"),
        (("bench", "./none.csv", "--dry-run"), "there is no suite './none.csv'"),
        (("bench", "smoke", "--dry-run", "--run", "a b"), "run id 'a b' cannot be used"),
        (("bench", "none.toml"), "cannot read the suite none.toml"),
        (("bench", "--resume", "nobody"), "there is no run 'nobody'"),
        (("bench", "smoke", "--resume", "x"), "leave out smoke"),
        (("bench", "table", "nobody", "x.parquet"), "there is no run 'nobody'"),
        (("bench", "archive", "nobody", "x.zip"), "an archive is a .gome file"),
    ):
        done = terminal.gome(*args)
        assert done.code == 2 and said in done.err and "Traceback" not in done.err, done.err


def test_a_table_that_cannot_be_a_task_is_refused_before_anything_runs(terminal: Terminal) -> None:
    terminal.write("small.csv", "size,price\n1,2\n")
    (terminal.folder / "bare").mkdir()
    for task, said in (
        ("{spec='./nowhere.csv', target='price'}", "suite own, task nowhere.csv: training table nowhere.csv does not"),
        ("{spec='./small.csv', target='pric'}", "did you mean 'price'"),
        ("'./bare'", "bare/task.toml does not exist"),
        ("{spec='ames', target='price'}", "'ames' of the suite is fixed"),
    ):
        terminal.write("own.toml", toys.suite(tasks=1).replace("'alpha'", task))
        for more in (("--dry-run",), ()):
            done = terminal.gome("bench", "own.toml", "--run", "own", *more)
            assert done.code == 2 and said in done.err and done.err.count("\n") == 1, done.err
    assert "own" not in {row["run"] for row in terminal.lines("runs")}


def test_a_cell_that_cannot_be_run_is_lost_and_the_others_are_not(terminal: Terminal) -> None:
    suite = terminal.write("sick.toml", toys.suite(seeds=1).replace("'beta'", "'sick'"))
    lines = terminal.lines("bench", suite, "--run", "s")
    assert [row["outcome"] for row in lines[4:8]] == ["done", "done", "lost", "lost"]
    assert "look for it elsewhere" in next(line["reason"] for line in lines[:4] if line["outcome"] == "lost")
    assert lines[6]["hidden"] is None and lines[-1]["outcome"] == "done"


def test_a_bench_that_is_interrupted_rests_and_the_same_command_goes_on_with_it(terminal: Terminal) -> None:
    suite = terminal.write("rest.toml", toys.suite(tasks=1, parallel="2", steps=2))
    process = terminal.start("bench", suite, seconds=0.5)
    said = read_until(process, "[1/4]")
    process.send_signal(signal.SIGINT)
    assert process.stderr is not None
    left = process.stderr.read()
    assert process.wait(60) == 130 and "go on with: gome bench --resume" in left, left
    bench = said.split("bench ")[1].split(":")[0]
    states = {row["run"]: row["state"] for row in terminal.lines("runs") if row["run"].startswith(bench)}
    assert "open" not in states.values() and states[bench] == "suspended"
    assert f"gome bench --resume {bench}" in terminal.gome("run", "--resume", bench).err
    lines = terminal.lines("bench", suite)
    assert lines[-1] == {"bench": bench, "outcome": "done", "ended": 4, "cells": 4}


def killed_and_gone_on_with(terminal: Terminal, suite: str, cells: int, kills: list[str], seconds: float) -> None:
    """A bench killed with SIGKILL at some points of its progress and gone on with has the table of an undisturbed one,
    has run no cell twice, and verifies."""
    suite = terminal.write(f"mortal{cells}.toml", suite)
    mortal, calm = f"mortal{cells}", f"calm{cells}"
    for text in kills:
        process = terminal.start("bench", suite, "--run", mortal, seconds=seconds)
        read_until(process, text)
        process.send_signal(signal.SIGKILL)
        process.wait(60)
    done = terminal.gome("bench", "--resume", mortal, "--parallel", "3")
    assert done.code == 0 and f"{cells} of {cells} cells have ended" in done.out, done.err
    assert terminal.gome("bench", suite, "--run", calm, "--parallel", "3").code == 0
    assert untimed(terminal.table(mortal)) == untimed(terminal.table(calm))
    results = [e["payload"]["cell"] for e in terminal.lines("tail", mortal) if e["type"] == "CellFinished"]
    assert len(results) == len(set(results)) == cells
    for row in terminal.table(mortal):
        assert terminal.gome("verify", row["run"]).code == 0
    assert terminal.gome("verify", mortal).code == 0
    # What was in flight when it died may be performed again; nothing else is.
    ran = [line for line in terminal.executed() if line.startswith(f"{mortal}-")]
    assert len(ran) - len(set(ran)) <= 2 * len(kills)


def test_a_bench_that_is_killed_goes_on_where_its_logs_end(terminal: Terminal) -> None:
    killed_and_gone_on_with(terminal, toys.suite(tasks=1, parallel="2"), 4, ["[1/4]"], 0.2)


@pytest.mark.slow
def test_a_bench_of_forty_runs_killed_twice_has_the_table_of_an_undisturbed_one(terminal: Terminal) -> None:
    killed_and_gone_on_with(terminal, toys.suite(tasks=4, seeds=5, parallel="2"), 40, ["[ 9/40]", "[21/40]"], 0.05)


@pytest.mark.slow
def test_workers_execute_for_all_cells_where_the_settings_give_them_the_runner(terminal: Terminal) -> None:
    suite = terminal.write("queued.toml", toys.suite(tasks=1))
    workers = [terminal.start("worker", "--roles", "runner", "--capacity", "1", seconds=0.01) for _ in range(2)]
    for worker in workers:
        read_until(worker, "worker for runner")
    done = terminal.gome("bench", suite, "--run", "queued", "--parallel", "4", "--set", "performers.runner=queue")
    assert done.code == 0 and "4 of 4 cells have ended" in done.out, done.err
    for worker in workers:
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(60) == 0
    pids = {path.name for path in (terminal.folder / ".gome" / "pids").iterdir()}
    assert {str(worker.pid) for worker in workers} <= pids, "both have worked"


def test_a_bench_asked_to_stop_ends_with_what_it_has(terminal: Terminal) -> None:
    suite = terminal.write("stopped.toml", toys.suite(parallel="1", steps=5))
    process = terminal.start("bench", suite, "--run", "b", seconds=0.3)
    read_until(process, "[1/8]")
    assert terminal.gome("stop", "b").code == 0
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 0 and "stopped (" in out
    ended = [e for e in terminal.lines("tail", "b") if e["type"] == "BenchFinished"]
    assert ended[0]["payload"]["left"] > 0
    assert terminal.gome("verify", "b").code == 0


def test_suites_that_ship_are_listed(terminal: Terminal) -> None:
    assert {line["suite"] for line in terminal.lines("bench")} >= {"smoke", "real", "ablation", "scaling"}
    assert "smoke" in terminal.gome("bench").out
