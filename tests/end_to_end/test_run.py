"""`gome run` on a person's own table: the result folder, the programs, verify, interruption, death, workers."""

from __future__ import annotations

import csv
import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.end_to_end.conftest import Terminal, Wait

Finished = tuple[Terminal, dict[str, Any]]
OWN = ("run", "houses.csv", "--target", "price")


def test_a_run_ends_with_scores_their_uncertainty_and_a_result_folder(finished: Finished) -> None:
    _, result = finished
    assert result["outcome"] == "done" and result["steps"] >= 4 and result["accepted"] >= 1
    for name in ("score", "score_se", "hidden", "hidden_se"):
        assert 0 < result[name] < 1e6
    assert result["over_baseline"]["low"] <= result["over_baseline"]["gain"] <= result["over_baseline"]["high"]
    folder = Path(result["folder"])
    for name in ("best_program.py", "submission.csv", "oof.csv", "REPORT.md", "requirements.txt", "input/train.csv"):
        assert (folder / name).stat().st_size > 0, name
    assert "lightgbm==" in (folder / "requirements.txt").read_text()
    assert "hidden" in (folder / "REPORT.md").read_text()


def test_the_best_program_run_by_hand_reproduces_the_submission_byte_for_byte(
    finished: Finished, tmp_path: Path
) -> None:
    _, result = finished
    folder = Path(result["folder"])
    program = tmp_path / "best_program.py"
    program.write_bytes((folder / "best_program.py").read_bytes())
    (tmp_path / "input").symlink_to(folder / "input")
    subprocess.run([sys.executable, str(program)], cwd=tmp_path, check=True, capture_output=True, timeout=240)
    assert (tmp_path / "submission.csv").read_bytes() == (folder / "submission.csv").read_bytes()


def test_the_program_of_an_ensemble_runs_all_its_members_and_reproduces_the_submission(terminal: Terminal) -> None:
    asked = ["--steps", "3", "--set", "reruns.policy=ensemble", "--set", "reruns.candidates=2"]
    result = terminal.lines("run", "houses.csv", "--target", "price", *asked)[-1]
    folder, alone = Path(result["folder"]), terminal.folder / "alone"
    assert "the weighted mean of" in (folder / "REPORT.md").read_text() and len(result["choices"]) > 1
    alone.mkdir()
    command = [sys.executable, str(folder / "best_program.py")]
    subprocess.run(command, cwd=alone, check=True, capture_output=True, timeout=240)
    for name in ("submission.csv", "oof.csv"):
        assert (alone / name).read_bytes() == (folder / name).read_bytes(), name


def test_the_best_program_scores_a_new_table(finished: Finished, tmp_path: Path) -> None:
    _, result = finished
    folder = Path(result["folder"])
    with open(folder / "input" / "test.csv") as file:
        rows = list(csv.DictReader(file))[:7]
    with open(tmp_path / "new.csv", "w", newline="") as file:
        out = csv.DictWriter(file, rows[0].keys())
        out.writeheader()
        out.writerows(rows)
    where = ["--train", str(folder / "input" / "train.csv"), "--test", "new.csv", "--out", "out.csv"]
    command = [sys.executable, str(folder / "best_program.py"), *where]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, timeout=240)
    with open(tmp_path / "out.csv") as file:
        found = list(csv.DictReader(file))
    assert len(found) == 7 and all(float(r["price"]) > 0 for r in found)


def test_the_run_verifies_and_shows(finished: Finished) -> None:
    terminal, result = finished
    verified = terminal.gome("verify", "small")
    assert verified.returncode == 0 and "verified" in verified.stdout, verified.stderr
    shown = terminal.gome("show", "small")
    assert shown.returncode == 0 and result["attempt"] in shown.stdout
    assert terminal.gome("show", "small", "--attempt", result["attempt"]).returncode == 0
    states = {row["run"]: row["state"] for row in terminal.lines("runs")}  # others may have run it again
    assert states["small"] == "done"
    table = terminal.gome("trajectory", "small", "--format", "csv").stdout.splitlines()
    assert len(table) == 1 + result["steps"] + 1, "a header, the baseline, the steps"


def test_running_a_finished_run_again_shows_it(finished: Finished) -> None:
    terminal, result = finished
    again = terminal.lines(*OWN, "--run", "small")[-1]
    assert (again["score"], again["hidden"], again["steps"]) == (result["score"], result["hidden"], result["steps"])


def answered_once(terminal: Terminal, run: str) -> None:
    """Each intent of the run has exactly one result, no step is planned twice, and the run verifies."""
    events = terminal.lines("tail", run)
    results = ("ExecutionFinished", "SubmissionScored", "SubmissionRejected", "EffectFailed", "EffectCancelled")
    asked = [e["id"] for e in events if e["type"] in ("ExecutionRequested", "ScoreRequested")]
    answers = Counter(e["cause"] for e in events if e["type"] in results and e["cause"] in asked)
    assert answers == Counter(asked)
    steps = [e["payload"]["attempt"] for e in events if e["type"] == "StepPlanned"]
    assert len(steps) == len(set(steps))
    verified = terminal.gome("verify", run)
    assert verified.returncode == 0, verified.stderr


def test_a_run_killed_in_the_middle_and_resumed_verifies_and_answers_each_intent_once(
    terminal: Terminal, wait_for: Wait
) -> None:
    process = terminal.start(*OWN, "--steps", "2", "--run", "killed")
    wait_for(process, "accepted")
    process.send_signal(signal.SIGKILL)
    process.communicate()
    (row,) = terminal.lines("runs")
    assert row["state"] == "open"
    result = terminal.lines("run", "--resume", "killed")[-1]
    assert result["outcome"] == "done" and result["hidden"] > 0
    answered_once(terminal, "killed")


def test_interrupting_leaves_the_run_open_and_says_how_to_go_on(terminal: Terminal, wait_for: Wait) -> None:
    process = terminal.start(*OWN, "--steps", "2", "--run", "paused")
    wait_for(process, "accepted")
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130 and "gome run --resume paused" in err
    (row,) = terminal.lines("runs")
    assert row["state"] == "suspended"
    assert terminal.lines(*OWN, "--run", "paused")[-1]["outcome"] == "done"
    answered_once(terminal, "paused")
    # The same again: what has been run need not be, which is said and verifies.
    again = terminal.lines(*OWN, "--steps", "2", "--run", "again")[-1]
    assert 2 <= again["cached"] < again["executions"]
    assert f"{again['executions']} executions ({again['cached']} answered by earlier ones, not run)" in " ".join(
        terminal.gome("show", "again").stdout.split()
    )
    answered_once(terminal, "again")


def test_a_run_that_is_asked_to_stop_hands_in_what_it_has(terminal: Terminal, wait_for: Wait) -> None:
    process = terminal.start(*OWN, "--time", "10m", "--run", "stopped")
    wait_for(process, "accepted")
    assert terminal.gome("stop", "stopped").returncode == 0
    process.communicate(timeout=120)
    assert process.returncode == 0
    (row,) = terminal.lines("runs")
    assert row["state"] == "stopped"
    assert (terminal.folder / "gome-houses-stopped" / "submission.csv").exists()


def test_a_second_process_cannot_drive_a_run_that_is_alive(terminal: Terminal, wait_for: Wait) -> None:
    process = terminal.start(*OWN, "--time", "10m", "--run", "alive")
    wait_for(process, "accepted")
    second = terminal.gome("run", "--resume", "alive")
    assert second.returncode == 2 and str(process.pid) in second.stderr
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)


def test_workers_perform_what_a_run_gives_to_them(terminal: Terminal, wait_for: Wait) -> None:
    worker = terminal.start("worker", "--roles", "runner,scorer")
    wait_for(worker, "worker for runner, scorer")
    queued = ("--set", "performers.runner=queue", "--set", "performers.scorer=queue")
    result = terminal.lines(*OWN, "--steps", "2", "--run", "queued", *queued)[-1]
    assert result["outcome"] == "done"
    answered_once(terminal, "queued")
    worker.send_signal(signal.SIGINT)
    _, err = worker.communicate(timeout=60)
    assert "performed 0" not in err and "performed" in err


@pytest.mark.slow
def test_a_worker_that_is_killed_is_replaced_and_nothing_is_lost(terminal: Terminal, wait_for: Wait) -> None:
    first = terminal.start("worker", "--roles", "runner")
    wait_for(first, "worker for runner")
    process = terminal.start(*OWN, "--steps", "2", "--run", "two", "--set", "performers.runner=queue")
    wait_for(process, "default LightGBM")
    first.send_signal(signal.SIGKILL)
    first.communicate()
    second = terminal.start("worker", "--roles", "runner")
    process.communicate(timeout=240)
    assert process.returncode == 0
    answered_once(terminal, "two")
    second.send_signal(signal.SIGINT)
    second.communicate(timeout=60)


def test_a_dry_run_prepares_and_starts_nothing(terminal: Terminal) -> None:
    done = terminal.gome(*OWN, "--dry-run")
    assert done.returncode == 0 and "nothing was started" in done.stdout
    (terminal.folder / "gome.toml").write_text("traces = 5\n")
    assert terminal.lines(*OWN, "--dry-run")[-1]["traces"] == 5
    assert terminal.lines(*OWN, "--dry-run", "--traces", "2")[-1]["traces"] == 2
    assert terminal.lines("runs") == []
    assert not list((terminal.folder / ".gome" / "tasks").iterdir()), "what was prepared is cleared away"


def test_the_memory_log_leaves_no_run_behind(terminal: Terminal) -> None:
    assert terminal.lines(*OWN, "--steps", "2", "--memory")[-1]["outcome"] == "done"
    assert terminal.lines("runs") == []


def test_python_gets_the_same_with_a_program_that_predicts(terminal: Terminal) -> None:
    script = (
        "from gome.kernel import run\n"
        "r = run('houses.csv', target='price', steps=2, time='5m', memory=True)\n"
        "print(r.score, r.hidden, len(r.trajectory.attempts), r.predict('houses.csv').shape[0], r.program.exists())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=terminal.folder,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
        env={**os.environ, "GOME_HOME": str(terminal.folder / "home")},
    )
    assert done.returncode == 0, done.stderr
    score, hidden, attempts, rows, exists = done.stdout.split()
    assert float(score) > 0 and float(hidden) > 0 and int(attempts) >= 2 and (rows, exists) == ("240", "True")
