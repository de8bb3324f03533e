"""The whole method with a language model, from the command line: a real endpoint with scripted replies, real programs.

One run in which every call is made serves most tests. What the endpoint says has no mind (see `tests.scripted_model`);
that a run with trouble goes on, verifies, and can be run again without a network is what is shown here.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pandas
import pytest

from gome.kernel.api import Result
from tests.end_to_end.conftest import Terminal, write_table
from tests.llm_server import Call, Reply
from tests.scripted_model import CALLS, Trouble, scripted

ROOT = Path(__file__).parents[2]
KEY = "sk-nobody-may-see-this-2"
TASK = ("run", "houses.csv", "--target", "price", "--reasoner", "gome", "--traces", "2")
QUICK = (
    *("--set", "sandbox.debug_rows=60", "--set", "guard.seeds=1", "--set", "guard.repeats=0"),
    *("--set", "reruns.policy=opinion", "--set", "guard.audit_above=99"),
)


def steps(n: int, *more: str) -> tuple[str, ...]:
    """A run of so many steps with few executions on the side."""
    return (*TASK, "--steps", str(n), *QUICK, *more)


@dataclass(frozen=True)
class Told:
    """A run that has been driven to its end, where it lies, and what the endpoint was asked."""

    terminal: Terminal
    summary: dict[str, Any]
    asked: list[Call]


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Told]:
    """A run in which every call is made, whose endpoint is gone by the time it is looked at."""
    folder = tmp_path_factory.mktemp("told")
    write_table(folder / "houses.csv")
    terminal = Terminal(folder)
    patch = pytest.MonkeyPatch()
    patch.setenv("OPENAI_API_KEY", KEY)
    with scripted(rounds=20, key=KEY) as server:
        asking = ("--model", "scripted-1", "--base-url", server.url, "--set", "gome.critique=true")
        stages = ("--set", "gradient.ensemble=0.85", "--set", "gome.ensemble_from=0.85")
        # A trace that is lost at the end would go on from the best solution instead of merging with it, and which
        # trace is lost depends on whose programs were done first.
        stages = (*stages, "--set", "gradient.restart=0")
        lines = terminal.lines(*steps(10, "--run", "told", *asking, *stages))
        asked = list(server.calls)
    yield Told(terminal, lines[-1], asked)
    patch.undo()


def test_the_run_hands_in_a_program_that_a_model_wrote(told: Told) -> None:
    assert told.summary["outcome"] == "done" and told.summary["attempt"].startswith("a")
    program = next(told.terminal.folder.glob("gome-*-told/best_program.py")).read_text()
    assert "GOME_PARTITION" in program
    assert told.summary["calls"] == len(told.asked) > 20
    assert told.summary["money"] is None, "an unknown price is unknown"


def test_the_program_predicts_another_table_although_it_takes_no_arguments(told: Told) -> None:
    folder = told.terminal.folder / Path(told.summary["folder"]).name
    result = Result(cast(Any, None), cast(Any, None), cast(Any, SimpleNamespace(id="id")), folder)
    table = pandas.read_csv(told.terminal.folder / "houses.csv").drop(columns="price").head(17)
    found = result.predict(table)
    assert len(found) == 17 and (found["price"] > 0).all()
    assert "--train" not in (folder / "REPORT.md").read_text()


def test_every_call_of_the_method_is_made_and_counted(told: Told) -> None:
    rows = {row["name"]: row for row in told.terminal.lines("show", "told", "--calls")}
    assert set(rows) == set(CALLS)
    assert all(row["answered"] == row["asked"] > 0 and row["money"] is None for row in rows.values())
    assert sum(row["asked"] for row in rows.values()) == len(told.asked)
    assert rows["code"]["modes"] == ["text"] and rows["hypotheses"]["modes"] == ["schema"]


def test_it_verifies_with_the_endpoint_gone(told: Told) -> None:
    (verdict,) = told.terminal.lines("verify", "told")
    assert verdict["verified"] and verdict["finished"]


def test_run_again_with_recorded_effects_it_ends_with_the_identical_log(told: Told) -> None:
    (verdict,) = told.terminal.lines("verify", "told", "--substitute")
    assert verdict["identical"] and verdict["answers"] > len(told.asked)


def test_recorded_completions_answer_without_a_key_or_an_endpoint(told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    flags = ("--set", "gome.critique=true", "--set", "gradient.ensemble=0.85", "--set", "gome.ensemble_from=0.85")
    done = told.terminal.gome(*steps(2, "--run", "again", "--completions", "recorded:told", *flags))
    assert done.returncode == 0, done.stderr
    rows = {row["name"]: row for row in told.terminal.lines("show", "again", "--calls")}
    assert rows["scenario"]["answered"] == 1 and rows["code"]["answered"] >= 2
    assert rows["code"]["models"] == ["scripted-1"], "what was recorded says which model served it"


def test_the_first_miss_of_recorded_completions_is_named_with_the_line_that_differs(told: Told) -> None:
    flags = ("--run", "missed", "--completions", "recorded:told", "--set", "completion.share=none")
    done = told.terminal.gome(*steps(2, *flags, "--json"))
    said = done.stdout + done.stderr + told.terminal.gome("show", "missed").stdout
    assert "run told has no reply to this" in said and "differs first in line" in said


def test_a_run_to_answer_from_that_does_not_exist_is_one_line(told: Told) -> None:
    done = told.terminal.gome(*steps(1, "--completions", "recorded:nobody"))
    assert done.returncode == 2 and "there is no run 'nobody'" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_key_is_nowhere(told: Told) -> None:
    found = [p for p in told.terminal.folder.rglob("*") if p.is_file() and KEY.encode() in p.read_bytes()]
    assert found == []


def test_a_dry_run_says_what_the_calls_will_come_to(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    prices = '{"m-1"={input=2.0, output=8.0}}'
    flags = ("--model", "m-1", "--base-url", "http://127.0.0.1:9", "--dry-run")
    done = terminal.gome(*steps(10, *flags, "--set", f"completion.prices={prices}"))
    assert done.returncode == 0, done.stderr
    assert "for 10 steps:" in done.stdout and "about" in done.stdout and "USD" in done.stdout
    unknown = terminal.gome(*steps(10, *flags))
    assert "price unknown" in unknown.stdout and "0.000 USD" not in unknown.stdout


def test_make_llm_asks_the_doctor_runs_a_small_task_and_reports_every_call(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("GOME_HOME", str(terminal.folder / "home"))
    with scripted("binary", rounds=5) as server:
        bin = Path(sys.executable).parent
        named = ("MODEL=scripted-1", f"BASE_URL={server.url}", f"BIN={bin}", "LLM_RUN=tried")
        quick = f"ARGS=--set reruns.policy=best_validation --set guard.seeds=1 --out {terminal.folder}"
        command = ["make", "-o", f"{os.environ.get('VIRTUAL_ENV') or '.venv'}/.gome-run", "llm", *named, quick]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr
    assert "ok  model" in done.stdout and "attrition: done" in done.stdout
    assert "scenario_challenges" in done.stdout and "unknown" in done.stdout


# Trouble.


def test_trouble_of_every_kind_ends_in_events_and_the_run_goes_on(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    trouble = {
        1: Reply(status=429, headers={"Retry-After": "0"}),
        3: Reply(status=500),
        5: Reply("{}", cut=True),
        7: Reply(raw=b"<html>not json</html>"),
        9: Reply(json.dumps({"nothing": "that fits"})),
        11: Reply("words", finish="length"),
        13: Reply("", finish="content_filter"),
        15: Reply("x" * 500_000),
        17: Reply(status=400, error=f"your key {KEY} is not liked"),
        19: Reply("{}", model="another-model"),
    }

    def at(number: int) -> Callable[[Call], bool]:
        return lambda call: call.number == number

    with scripted(rounds=20, trouble=[(at(number), reply) for number, reply in trouble.items()]) as server:
        backoff = ("--set", "openai.backoff=0.01")
        asking = ("--model", "scripted-1", "--base-url", server.url)
        lines = terminal.lines(*steps(5, "--run", "troubled", *asking, *backoff))
        assert len(server.calls) > max(trouble), "all of it has happened"
    assert lines[-1]["outcome"] == "done"
    rows = terminal.lines("show", "troubled", "--calls")
    assert any("refused" in row["failures"] for row in rows), "what was refused is an event"
    assert sum(row["again"] for row in rows) >= 2, "what did not fit was asked again"
    (verdict,) = terminal.lines("verify", "troubled")
    assert verdict["verified"]
    assert not [p for p in terminal.folder.rglob("*") if p.is_file() and KEY.encode() in p.read_bytes()]


def gone_after(calls: int) -> Trouble:
    """From the n-th call on the endpoint refuses the key, as when an account is closed."""
    return [(lambda call: call.number >= calls, Reply(status=401, error="the account is closed"))]


def test_when_the_endpoint_is_gone_for_good_the_fallback_finishes_the_run(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with scripted(rounds=20, trouble=gone_after(14)) as server:
        asking = ("--model", "scripted-1", "--base-url", server.url, "--fallback", "playbook")
        lines = terminal.lines(*steps(8, "--run", "left", *asking))
    assert lines[-1]["outcome"] == "done"
    shown = terminal.lines("show", "left")
    moves = [row["change"] for row in shown if row.get("verdict")]
    assert any("ridge" in m or "boosting" in m or "linear" in m for m in moves), moves
    (verdict,) = terminal.lines("verify", "left")
    assert verdict["verified"] and verdict["finished"]


def test_without_a_fallback_the_run_rests_open_and_says_why(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with scripted(rounds=20, trouble=gone_after(5)) as server:
        done = terminal.gome(*steps(8, "--run", "rests", "--model", "scripted-1", "--base-url", server.url))
    assert done.returncode == 130, done.stderr
    assert "the language model cannot be asked" in done.stderr and "--resume rests" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_fallback_that_needs_a_model_itself_is_refused(terminal: Terminal) -> None:
    asking = ("--model", "m", "--base-url", "http://127.0.0.1:9", "--fallback", "gome")
    done = terminal.gome(*steps(1, *asking))
    assert done.returncode == 2 and "cannot stand in" in done.stderr


def test_a_killed_run_pays_for_no_call_twice(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with scripted(rounds=20) as server:
        asking = ("--model", "scripted-1", "--base-url", server.url, "--json")
        process = terminal.start(*steps(4, "--run", "killed", *asking))
        server.wait_for(12)
        process.kill()
        process.communicate()
        before = len(server.calls)
        done = subprocess.run(
            [*process.args[:3], "run", "--resume", "killed", "--json"],  # type: ignore[index, operator]
            cwd=terminal.folder,
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        summary = json.loads(done.stdout.splitlines()[-1])
        # Calls that were under way when the process died, one a trace, are made again; no other one is.
        assert summary["calls"] <= len(server.calls) <= summary["calls"] + 2
        assert len(server.calls) > before
    (verdict,) = terminal.lines("verify", "killed")
    assert verdict["verified"]


def test_profiles_of_the_paper_run_with_the_model_and_change_what_they_should(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    made: dict[str, set[str]] = {}
    for profile in ("no-reasoning", "no-memory"):
        with scripted(rounds=10) as server:
            asking = ("--model", "scripted-1", "--base-url", server.url, "--profile", profile)
            assert terminal.lines(*steps(2, "--run", profile, *asking))[-1]["outcome"] == "done"
        made[profile] = {row["name"] for row in terminal.lines("show", profile, "--calls")}
    assert "change" in made["no-reasoning"] and not made["no-reasoning"] & {"hypotheses", "selection", "sketch"}
    assert "hypotheses" in made["no-memory"]


def test_the_report_names_the_model_and_what_it_took(told: Told) -> None:
    report = next(told.terminal.folder.glob("gome-*-told/REPORT.md")).read_text()
    assert "scripted-1" in report and "cost unknown" in report
    assert Path(told.summary["folder"]).name.endswith("told")
