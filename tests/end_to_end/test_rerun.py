"""`gome rerun`: programs of live and of imported runs run again in the sandbox, and what is said about them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.end_to_end.conftest import Terminal, write_table

Finished = tuple[Terminal, dict[str, Any]]

CLAIMING = """
import pandas as pd
sample = pd.read_csv("./input/sample_submission.csv")
sample.to_csv("submission.csv", index=False)
open("scores.csv", "w").write(",RMSE\\nlgb,0.2\\nensemble,0.1235\\n")
print("Validation RMSE: 0.1234")
"""
ELSEWHERE = """
import pandas as pd
pd.read_csv("/kaggle/input/houses/train.csv")
"""
WHOLE = """
import pandas as pd
train, test = pd.read_csv("input/train.csv"), pd.read_csv("input/test.csv")
folds = pd.read_csv("input/folds.csv")
mean = train["price"].mean()
pd.DataFrame({"id": test["id"], "price": mean}).to_csv("submission.csv", index=False)
pd.DataFrame({"id": train["id"], "fold": folds["p0"], "price": mean}).to_csv("oof.csv", index=False)
"""
TASK = 'train = "houses.csv"\ntarget = "price"\nmetric = "rmse"\n'


def again(terminal: Terminal, *args: str) -> tuple[int, dict[str, Any]]:
    done = terminal.gome("rerun", *args, "--json")
    assert "Traceback" not in done.stderr
    return done.returncode, json.loads(done.stdout.splitlines()[-1])


def test_an_attempt_run_again_is_executed_anew_reproduced_and_verified(finished: Finished) -> None:
    terminal, result = finished
    code, said = again(terminal, result["run"], "--attempt", result["attempt"])
    assert (code, said["outcome"], said["basis"], said["paired"]) == (0, "reproduced", "rows", True)
    assert said["difference"] == 0 and said["score"] == said["recorded"]
    (shown,) = terminal.lines("show", said["run"], "--attempt", result["attempt"])
    assert [e["cached"] for e in shown["executions"]] == [False] and shown["verdict"] == "rerun"
    (verdict,) = terminal.lines("verify", said["run"])
    assert verdict["verified"] and verdict["finished"] and verdict["decisions"] == 4


def test_a_debug_execution_and_a_time_limit_say_what_came_of_them(finished: Finished) -> None:
    terminal, result = finished
    code, said = again(terminal, result["run"], "--attempt", "baseline", "--debug")
    assert (code, said["outcome"], said["purpose"]) == (0, "ran", "debug")
    code, said = again(terminal, result["run"], "--attempt", "baseline", "--time", "0.05s")
    assert (code, said["outcome"], said["failure"]) == (1, "failed", "time")


@pytest.fixture(scope="module")
def imported(tmp_path_factory: pytest.TempPathFactory) -> tuple[Terminal, str]:
    """A journal of programs by somebody else, imported, beside a folder with data to run them on."""
    terminal = Terminal(tmp_path_factory.mktemp("imported"))
    (terminal.folder / "houses").mkdir()
    write_table(terminal.folder / "houses" / "houses.csv")
    (terminal.folder / "houses" / "task.toml").write_text(TASK)
    metrics = [{"value": 0.5, "maximize": False}, {"value": None, "maximize": None}, 100.0]
    programs = [CLAIMING, ELSEWHERE, WHOLE]
    nodes = [{"id": f"n{i}", "code": p, "metric": m} for i, (p, m) in enumerate(zip(programs, metrics, strict=True))]
    (terminal.folder / "journal.json").write_text(json.dumps({"nodes": nodes, "node2parent": {}}))
    (terminal.folder / "config.yaml").write_text("eval: RMSE\n")
    (report,) = terminal.lines("import", "journal.json")
    return terminal, report["runs"][0]


def test_what_a_program_without_out_of_fold_predictions_prints_is_its_claim(imported: tuple[Terminal, str]) -> None:
    terminal, run = imported
    code, said = again(terminal, run, "--attempt", "loop_0", "--task", "./houses")
    assert (code, said["outcome"], said["claim"], said["score"]) == (0, "unchecked", 0.1234, None)
    assert (said["written"], said["recorded"]) == (0.1235, 0.5) and "cannot be checked" in said["reason"]


def test_a_program_that_looks_for_its_data_elsewhere_fails_with_its_traceback(imported: tuple[Terminal, str]) -> None:
    terminal, run = imported
    code, said = again(terminal, run, "--attempt", "loop_1", "--task", "./houses")
    assert (code, said["outcome"], said["failure"]) == (1, "failed", "data")
    assert "/kaggle/input/houses/train.csv" in said["traceback"]


def test_an_imported_program_that_keeps_the_contract_is_scored_beside_its_recorded_score(
    imported: tuple[Terminal, str],
) -> None:
    terminal, run = imported
    code, said = again(terminal, run, "--attempt", "loop_2", "--task", "./houses")
    assert (code, said["outcome"], said["basis"], said["recorded"]) == (0, "scored", "metric", 100.0)
    assert said["difference"] == pytest.approx(100.0 - said["score"]) and "other rows" in said["reason"]


def test_without_data_or_program_or_attempt_there_is_a_sentence_and_no_run(imported: tuple[Terminal, str]) -> None:
    terminal, run = imported
    before = terminal.gome("runs", "--json").stdout
    for args, said in (
        ((run, "--attempt", "loop_2"), "--task"),
        ((run, "--attempt", "loop_9"), "no attempt 'loop_9'; did you mean"),
        ((run, "--attempt", "loop_2", "--task", "nothing"), "no task, table or folder"),
    ):
        done = terminal.gome("rerun", *args)
        assert done.returncode == 2 and said in done.stderr and "Traceback" not in done.stderr
    assert terminal.gome("runs", "--json").stdout == before
