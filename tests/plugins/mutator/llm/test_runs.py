"""Whole runs with a scripted model and everything else real: programs are written, fail, are repaired, and win."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from gome.events import (
    CodeRequested,
    CodeReviewed,
    CodeWritten,
    ExecutionFinished,
    ExecutionRequested,
    SubmissionRejected,
)
from gome.kernel.testing import conform
from tests.plugins.mutator.llm.desk import FINE, Model, run
from tests.plugins.mutator.llm.programs import broken_syntax, crashing, fenced, lacking_a_column, reference

pytestmark = pytest.mark.anyio
QUICK = {"policy": "best_validation"}
"""Nothing is run again at the end."""


@pytest.mark.parametrize("kind", ["regression", "binary", "multiclass"])
async def test_a_program_that_keeps_to_the_contract_passes_runner_scorer_and_audit(kind: str, tmp_path: Path) -> None:
    model = Model(code=[fenced(reference(kind))], review=[FINE])
    done = await run(tmp_path, model, kind=kind)
    t = done.trajectory
    (attempt,) = t.attempts.values()
    assert [(e.purpose, e.ok) for e in attempt.executions] == [("debug", True), ("full", True)], attempt.executions
    assert attempt.accepted and attempt.reason.startswith("the first valid solution"), attempt.reason
    assert t.selected is not None and t.selected.attempt == "a1"
    assert [c.audited for c in t.selected.candidates] == ["passed"]
    assert model.names() == ["code", "review"]
    assert await done.verifies()
    # What is handed in comes out of the program again, by hand and without the run's environment.
    asked = (await done.said(ExecutionRequested))[1]
    for name, file in asked.inputs.items():
        (tmp_path / "hand" / "input").mkdir(parents=True, exist_ok=True)
        (tmp_path / "hand" / "input" / name).write_bytes(done.store.get(file.digest))
    (tmp_path / "hand" / "best.py").write_text(str(t.selected.program))
    subprocess.run([sys.executable, "best.py"], cwd=tmp_path / "hand", check=True, capture_output=True)
    for name, file in (("submission.csv", t.selected.submission), ("oof.csv", t.selected.oof)):
        assert (tmp_path / "hand" / name).read_bytes() == done.store.get(file.digest)


async def test_one_attempt_is_repaired_until_it_is_accepted_and_every_version_is_recorded(tmp_path: Path) -> None:
    good = reference("regression")
    bad = [crashing(good), lacking_a_column(good)]
    replies = [fenced(text) for text in (*bad, good)]
    model = Model(code=[fenced(broken_syntax(good))], repair=replies, review=[FINE])
    done = await run(tmp_path, model, llm={"edit": "whole"}, reruns=QUICK)
    (attempt,) = done.trajectory.attempts.values()
    assert attempt.accepted and attempt.failure == "" and attempt.score is not None
    assert [str(v.program) for v in attempt.versions] == [*bad, good]
    assert [(v.number, v.repairs) for v in attempt.versions] == [(0, 3), (1, 2), (2, 1)]
    assert [(e.purpose, e.ok) for e in attempt.executions] == [
        ("debug", False),
        ("debug", True),
        ("full", True),
        ("debug", True),
        ("full", True),
    ]
    assert model.names() == ["code", "repair", "repair", "review", "repair", "review"]
    shown = ["\n".join(str(m.content) for m in asked.messages) for asked in model.asked]
    assert "it does not compile: expected ':'" in shown[1]
    assert "KeyError: 'no such column'" in shown[2]
    assert "oof.csv lacks the column 'fold'" in shown[4] and "KeyError: 'no such column'" in shown[4]
    (refused,) = await done.said(SubmissionRejected)
    assert (refused.attempt, refused.layer) == ("a1", 1)
    problems = [asked.problem for asked in await done.said(CodeRequested)]
    assert [bool(p) for p in problems] == [False, True, True]
    assert await done.verifies()


async def test_every_plugin_is_pure_on_a_run_with_repairs(tmp_path: Path) -> None:
    good = reference("regression")
    fault = '{"ok": false, "problem": "every model sees all rows"}'
    model = Model(code=[fenced(crashing(good))], repair=[fenced(good + "#\n"), fenced(good)], review=[fault, FINE])
    done = await run(tmp_path, model, llm={"edit": "whole"}, reruns=QUICK)
    history = [sealed async for sealed in done.log.read("r")]
    answered = {plugin.name: conform(plugin, history) for plugin in done.plugins if plugin.reads}
    assert answered["llm"] == 3 and answered["sandbox"] >= 5 and answered["guard"] >= 1, answered


async def test_a_review_that_finds_fault_has_the_program_repaired_before_its_full_execution(tmp_path: Path) -> None:
    good = reference("regression")
    wrong = good.replace("folds != fold", "folds >= 0")
    fault = '{"contract": true, "implemented": true, "ok": false, "problem": "every model sees all rows"}'
    model = Model(code=[fenced(wrong)], repair=[fenced(good)], review=[fault, FINE])
    done = await run(tmp_path, model, llm={"edit": "whole"}, reruns=QUICK)
    (attempt,) = done.trajectory.attempts.values()
    assert attempt.accepted
    assert [r.ok for r in attempt.reviews] == [False, True]
    assert [e.purpose for e in attempt.executions] == ["debug", "debug", "full"]
    assert "every model sees all rows" in str(model.asked[2].messages[1].content)
    assert await done.verifies()


async def test_a_program_too_slow_for_its_limit_is_repaired_instead_of_started(tmp_path: Path) -> None:
    good = reference("regression")
    slow = good.replace("KIND =", "import time; time.sleep(3)\nKIND =", 1)
    slow = slow.replace('{"fold_scores": scores}', '{"fold_scores": scores, "debug_share": 0.001}')
    model = Model(code=[fenced(slow)], repair=[fenced(good)])
    done = await run(tmp_path, model, llm={"edit": "whole", "review": False}, reruns=QUICK)
    (attempt,) = done.trajectory.attempts.values()
    assert attempt.accepted, attempt.reason
    assert [e.purpose for e in attempt.executions] == ["debug", "debug", "full"]
    (verdict,) = await done.said(CodeReviewed)
    assert not verdict.ok and verdict.problem.startswith("estimated full run ") and "limit 60 s" in verdict.problem
    assert await done.verifies()


async def test_an_attempt_whose_repairs_are_used_up_fails_and_the_search_goes_on(tmp_path: Path) -> None:
    good = reference("regression")
    model = Model(
        code=[fenced(crashing(good)), fenced(good)], repair=[fenced(crashing(good) + "# again\n")], review=[FINE]
    )
    done = await run(tmp_path, model, steps=2, llm={"edit": "whole", "repairs": 1}, reruns=QUICK)
    first, second = done.trajectory.attempts.values()
    assert (first.accepted, first.failure) == (False, "data") and len(first.versions) == 2
    assert second.accepted
    assert len(await done.said(CodeWritten)) == 3
    assert [e.ok for e in await done.said(ExecutionFinished)][:2] == [False, False]
    assert await done.verifies()
