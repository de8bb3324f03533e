"""Every scope shows what its row of the table says and nothing more, whatever the run."""

from __future__ import annotations

import re
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gome.events import (
    Artifact,
    Attempt,
    AttemptAccepted,
    AttemptRejected,
    CodeWritten,
    Event,
    ExecutionFinished,
    FeedbackGiven,
    Hypothesis,
    HypothesisProposed,
    Metric,
    Payload,
    Recollection,
    RunStarted,
    StepPlanned,
    SubmissionScored,
    Task,
    Text,
    Trajectory,
    scope,
)
from gome.events.scope import SCOPES, cut, material, scope_of

TREE = {  # parent, further parents, whether it has a score
    "a1": ("", (), True),
    "a2": ("", (), False),
    "a3": ("a1", (), True),
    "a4": ("a1", (), False),
    "a5": ("a4", (), False),
    "a6": ("a5", (), True),
    "a7": ("a3", (), True),
    "a8": ("a3", (), False),
}


def task() -> Task:
    """A task that nobody opens."""
    table = Artifact("sha256-t", 1, "t")
    return Task("t", "regression", Metric("rmse", False), "y", "id", (), table, table, 10, 5)


def run_of(tree: dict[str, tuple[str, tuple[str, ...], bool]], traces: int = 2) -> Trajectory:
    """A run whose attempts ended as the tree says; all that have a score were accepted."""
    trajectory, seq = Trajectory(), 0

    def say(payload: Payload) -> None:
        nonlocal seq
        seq += 1
        trajectory.apply(Event(f"{seq:032x}", type(payload).__name__, seq, float(seq), payload))

    say(RunStarted(task=task(), seed=1))
    for number, (name, (parent, parents, good)) in enumerate(tree.items(), start=1):
        say(StepPlanned(name, trace=number % traces, step=1, parent=parent, parents=parents))
        say(HypothesisProposed(name, Hypothesis(f"try {name}", "model", change={"secret": name}, move="tune")))
        say(CodeWritten(name, Text.of(f"print({name!r})"), f"digest of {name}", spec={"of": name}))
        said = {"members": [{"key": name, "score": 0.1, "seconds": [1.0], "train_score": 0.01}], "loss": 1.0}
        say(ExecutionFinished(name, "full", good, stdout=Text.of(f"output of {name}"), seconds=2.0, diagnostics=said))
        if good:
            say(SubmissionScored(name, "full", 1.0 / number, fold_scores=(0.1, 0.2), diagnostics={"slices": []}))
            say(FeedbackGiven(name, accept=True, lesson=f"{name} taught this"))
            say(AttemptAccepted(name, gain=0.1))
        else:
            say(AttemptRejected(name, failure="time", reason=f"{name} took too long"))
    return trajectory


def asked(trajectory: Trajectory, context: str, parent: str = "", parents: tuple[str, ...] = ()) -> Attempt:
    """A step in flight, as the last of a run."""
    planned = StepPlanned("step", trace=1, step=9, parent=parent, parents=parents, context=context)
    trajectory.apply(Event("f" * 32, "StepPlanned", 99, 99.0, planned))
    return trajectory.attempts["step"]


def seen(context: str, parent: str = "", parents: tuple[str, ...] = (), **more: Any) -> dict[str, str]:
    """What a step on a parent is shown of each attempt: whole, program or summary."""
    trajectory = run_of(TREE)
    view = cut(trajectory, asked(trajectory, context, parent, parents), **more)
    found = {}
    for name, a in view.attempts.items():
        if name != "step":
            found[name] = "whole" if a.executions else "program" if a.code else "summary"
            assert bool(a.diagnostics.get("loss")) == (found[name] == "whole")
            if found[name] == "summary":
                assert a.hypothesis and a.hypothesis.change == {} and not a.reason
                assert a.score == trajectory.attempts[name].score and a.failure == trajectory.attempts[name].failure
    return found


def summaries(*names: str) -> dict[str, str]:
    return dict.fromkeys(names, "summary")


GOOD = summaries("a1", "a3", "a6", "a7")
ROWS: list[tuple[str, str, tuple[str, ...], dict[str, str]]] = [
    ("aide.draft", "", (), GOOD),
    ("aide.improve", "a3", (), {**GOOD, "a3": "program"}),
    ("aide.debug", "a5", (), {"a5": "whole"}),
    ("mlmaster.draft", "", (), summaries("a1", "a2")),
    ("mlmaster.improve", "a3", (), {"a3": "whole", **summaries("a7", "a8")}),
    ("mlmaster.debug", "a4", (), {"a4": "whole"}),
    ("aira.draft", "", (), GOOD),
    ("aira.improve", "a3", (), {**GOOD, "a3": "whole"}),
    ("aira.debug", "a5", (), {"a5": "whole", "a4": "summary"}),
    ("aira.crossover", "a3", ("a6",), {"a3": "program", "a6": "program"}),
    ("mlevolve.draft", "", (), summaries("a1", "a2")),
    ("mlevolve.improve", "a3", (), {"a3": "whole", **summaries("a1", "a7", "a8")}),
    ("mlevolve.debug", "a5", (), {"a5": "whole"}),
    ("mlevolve.evolution", "a7", (), {"a7": "whole", **summaries("a1", "a3")}),
    ("mlevolve.fusion", "a3", ("a6",), {"a3": "whole", "a6": "program", **summaries("a1", "a7", "a8")}),
    ("mlevolve.fusion", "", ("a3", "a6"), {"a3": "program", "a6": "program", **summaries("a1", "a2")}),
    ("random.draft", "", (), {}),
    ("random.improve", "a3", (), {"a3": "whole"}),
    ("random.debug", "a4", (), {"a4": "whole"}),
]


@pytest.mark.parametrize(("context", "parent", "parents", "expected"), ROWS)
def test_a_scope_shows_what_its_row_says(
    context: str, parent: str, parents: tuple[str, ...], expected: dict[str, str]
) -> None:
    assert seen(context, parent, parents) == expected


def test_every_scope_of_the_table_is_tested_and_documented() -> None:
    narrow = {name for name, row in SCOPES.items() if row.others != "all" and not name.startswith("random.")}
    assert narrow == {row[0] for row in ROWS if not row[0].startswith("random.")}
    text = scope.__doc__ or ""
    assert narrow == set(re.findall(r"^\| ((?!random)\w+\.\w+) \|", text, re.M))
    for line in re.findall(r"^\| ([a-z]+\.[a-z]+) \|(.*)\|$", text, re.M):
        assert SCOPES[line[0]].recall == ("recalled" in line[1])


def test_the_gradient_sees_the_very_run() -> None:
    for context in ("", "gradient.improve"):
        trajectory = run_of(TREE)
        step = asked(trajectory, context, "a3")
        assert cut(trajectory, step) is trajectory
        assert material(trajectory, step) == tuple(trajectory.attempts.values())


def test_a_reflection_is_shown_its_attempt_and_the_parent_whole() -> None:
    trajectory = run_of(TREE)
    step = asked(trajectory, "aide.improve", "a3")
    step.scored = SubmissionScored("step", "full", 0.1)
    view = cut(trajectory, step)
    assert list(view.attempts) == ["a3", "step"] and view.attempts["a3"] is trajectory.attempts["a3"]


def test_without_memory_only_what_the_step_builds_on_is_left() -> None:
    for context, parent, parents, expected in ROWS:
        left = {name: what for name, what in expected.items() if name in (parent, *parents)}
        assert seen(context, parent, parents, memory="none") == left


def test_memory_of_the_own_trace_shows_no_other_trace() -> None:
    own = {name for name, a in run_of(TREE).attempts.items() if a.trace == 1}
    for context, parent, parents, expected in ROWS:
        left = {name: what for name, what in expected.items() if name in own or name in (parent, *parents)}
        assert seen(context, parent, parents, memory="own") == left


def test_what_the_memory_recalled_is_shown_in_summary() -> None:
    told = (
        Recollection("a8", 1.0, 1.0, 0.0, "a hint", "tune", False),
        Recollection("other:a1", 1.0, 1.0, 0.0, "", "", True),
    )
    assert seen("mlevolve.debug", "a5", recalled=told) == {"a5": "whole", "a8": "summary"}


def test_a_name_that_is_in_no_row_is_refused_with_the_names_that_are() -> None:
    with pytest.raises(ValueError, match=r"no scope is called 'aide.fusion'.*aide.draft"):
        scope_of("aide.fusion")


def test_material_holds_every_program_and_what_fitting_gave_and_no_output() -> None:
    trajectory = run_of(TREE)
    step = asked(trajectory, "aide.improve", "a3")
    found = {a.id: a for a in material(trajectory, step)}
    assert list(found) == list(trajectory.attempts)
    for name in TREE:
        a = found[name]
        assert a.code == trajectory.attempts[name].code and a.score == trajectory.attempts[name].score
        assert a.hypothesis is None and not a.gain and not a.reason and not a.feedback
        assert a.diagnostics.get("members") == [{"key": name, "score": 0.1, "seconds": [1.0]}]
        assert not a.execution or not str(a.execution.stdout)


NAMES = [f"a{i}" for i in range(1, 9)]


@st.composite
def trees(draw: Any) -> dict[str, tuple[str, tuple[str, ...], bool]]:
    """Any tree of eight attempts."""
    found: dict[str, tuple[str, tuple[str, ...], bool]] = {}
    for name in NAMES:
        before = ["", *found]
        found[name] = (draw(st.sampled_from(before)), (), draw(st.booleans()))
    return found


@given(trees(), st.sampled_from(sorted(SCOPES)), st.data())
def test_no_scope_shows_more_than_there_is_or_forgets_the_parent(tree: Any, context: str, data: Any) -> None:
    trajectory = run_of(tree)
    parent = data.draw(st.sampled_from(["", *NAMES]))
    parents = tuple(data.draw(st.lists(st.sampled_from(NAMES), max_size=2, unique=True)))
    memory = data.draw(st.sampled_from(["none", "own", "shared"]))
    before = {name: repr(a) for name, a in trajectory.attempts.items()}
    step = asked(trajectory, context, parent, parents)
    view = cut(trajectory, step, memory=cast(Any, memory))
    assert {n: repr(a) for n, a in trajectory.attempts.items() if n != "step"} == before, "cutting changes nothing"
    assert set(view.attempts) <= set(trajectory.attempts) and "step" in view.attempts
    numbers = [a.number for a in view.attempts.values()]
    assert numbers == sorted(numbers)
    assert not parent or view.attempts[parent].code
    assert all(name in view.attempts for ids in view.accepted.values() for name in ids)
    assert not view.best or view.best in view.attempts
    best = [a.score for a in view.attempts.values() if a.accepted and a.score is not None]
    assert (view.best_attempt() is None) == (not best)
    if found := view.best_attempt():
        assert found.score == min(best)
