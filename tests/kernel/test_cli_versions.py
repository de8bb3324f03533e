"""`gome show --attempt` of a program that was repaired: what was wrong with each version, and the last one."""

from __future__ import annotations

import json

import pytest

from gome.events import CodeRequested, CodeWritten, Event, StepPlanned, SubmissionScored, Text, Trajectory
from gome.kernel.cli.show import show_attempt


def repaired() -> Trajectory:
    one, two = Text.of("print(1)\n"), Text.of("print(2)\n")
    t = Trajectory()
    said = [
        StepPlanned("a1", 0, 1),
        CodeWritten("a1", one, one.digest, repairs=1),
        CodeRequested("a1", "repair", program=one, problem="The debug execution failed: data.\n\nKeyError: 'x'"),
        CodeWritten("a1", two, two.digest, number=1),
        SubmissionScored("a1", "full", 0.5),
    ]
    for n, payload in enumerate(said, start=1):
        t.apply(Event(f"e{n}", type(payload).__name__, n, float(n), payload))
    return t


def test_show_says_what_was_wrong_with_each_version(capsys: pytest.CaptureFixture[str]) -> None:
    t = repaired()
    show_attempt("r", t, t.attempts["a1"], {}, as_json=False)
    out = capsys.readouterr().out
    assert "── versions ─" in out and "0  The debug execution failed: data." in out and "KeyError: 'x'" in out
    assert "1  the program below" in out and out.rstrip().endswith("print(2)")


def test_json_has_every_version_with_its_fault(capsys: pytest.CaptureFixture[str]) -> None:
    t = repaired()
    show_attempt("r", t, t.attempts["a1"], {}, as_json=True)
    line = json.loads(capsys.readouterr().out)
    assert line["versions"] == ["print(1)\n", "print(2)\n"] and line["program"] == "print(2)\n"
    assert [fault.splitlines()[-1] for fault in line["faults"]] == ["KeyError: 'x'"]
