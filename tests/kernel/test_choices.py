"""What each rule of final selection would have handed in, and the selection loss of each."""

from __future__ import annotations

import msgspec
import pytest

from gome.events import (
    Attempt,
    Candidate,
    CodeWritten,
    Metric,
    SubmissionGraded,
    SubmissionScored,
    SubmissionSelected,
    Text,
    Trajectory,
)
from gome.kernel.choices import choices
from tests.kernel import toy


def attempt(number: int, score: float, ended: float, reruns: dict[int, float] | None = None) -> Attempt:
    name = f"a{number}"
    repeats = tuple(SubmissionScored(name, "rerun", s, partition=p) for p, s in (reruns or {}).items())
    text = Text.of(name)
    return Attempt(
        id=name,
        number=number,
        accepted=True,
        ended_at=ended,
        code=CodeWritten(name, text, text.digest),
        scored=SubmissionScored(name, "full", score),
        repeats=repeats,
    )


def run(attempts: list[Attempt], chosen: str, *, greater: bool = False, failed: tuple[str, ...] = ()) -> Trajectory:
    task = msgspec.structs.replace(toy.TASK, metric=Metric("roc_auc" if greater else "rmse", greater))
    table = tuple(Candidate(a.id, 0.0, audited="failed: leak" if a.id in failed else "passed") for a in attempts)
    selected = SubmissionSelected(chosen, 0.25, 0.1, toy.FILE, toy.FILE, Text.of("pass"), candidates=table)
    started = msgspec.structs.replace(toy.started(), task=task)
    return Trajectory(started=started, attempts={a.id: a for a in attempts}, selected=selected)


A = attempt(1, 0.30, 10.0, {1: 0.31, 2: 0.33})
B = attempt(2, 0.20, 20.0, {1: 0.28, 2: 0.20})
C = attempt(3, 0.22, 30.0, {1: 0.21, 2: 0.40})
GRADES = {n: SubmissionGraded(n, s) for n, s in {"a1": 0.35, "a2": 0.27, "a3": 0.26, "final": 0.25}.items()}


def test_every_rule_names_its_attempt_with_its_hidden_score_and_loss() -> None:
    found = {c.rule: c for c in choices(run([A, B, C], "a2"), GRADES)}
    assert {rule: c.attempt for rule, c in found.items()} == {
        "handed in": "a2",
        "best validation": "a2",
        "last accepted": "a3",
        "re-split": "a3",
    }
    assert found["handed in"].hidden == 0.25 and found["handed in"].loss == pytest.approx(-0.01)
    assert found["best validation"].loss == pytest.approx(0.01)
    assert found["last accepted"].loss == 0.0


def test_the_direction_of_the_metric_is_minded() -> None:
    found = {c.rule: c for c in choices(run([A, B, C], "a1", greater=True), GRADES)}
    assert found["best validation"].attempt == "a1" and found["re-split"].attempt == "a1"
    assert found["best validation"].loss == 0.0 and found["last accepted"].loss == pytest.approx(0.09)


def test_without_hidden_answers_there_are_choices_and_no_losses() -> None:
    found = choices(run([A, B, C], "a2"), {})
    assert len(found) == 4 and all(c.hidden is None and c.loss is None for c in found)


def test_an_attempt_that_failed_its_audit_is_nobody_s_choice() -> None:
    found = {c.rule: c.attempt for c in choices(run([A, B, C], "a3", failed=("a2",)), GRADES)}
    assert found["best validation"] == "a3"


def test_without_reruns_on_a_shared_partition_re_split_says_nothing() -> None:
    plain = [attempt(1, 0.3, 10.0), attempt(2, 0.2, 20.0, {1: 0.2})]
    assert [c.rule for c in choices(run(plain, "a2"), {})] == ["handed in", "best validation", "last accepted"]


def test_nothing_handed_in_is_no_choice() -> None:
    assert choices(Trajectory(), {}) == ()
