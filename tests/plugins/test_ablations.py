"""What the ablations take away is away, and visibly so: whole runs in a recorded world, one switch at a time."""

from __future__ import annotations

import pytest

from gome.events import Scores
from tests.plugins.whole import Played, played

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
async def whole() -> Played:
    """The run that nothing is taken away from."""
    return await played()


def proposals(run: Played) -> list[str]:
    return [a.hypothesis.statement for a in run.attempts if a.hypothesis]


async def test_the_whole_loop_recalls_diagnoses_and_searches_three_traces(whole: Played) -> None:
    assert whole.verdict.ok and whole.state.finished and whole.state.finished.outcome == "done"
    assert {a.trace for a in whole.attempts} == {0, 1, 2}
    assert any(a.recollections for a in whole.attempts)
    assert all(a.challenges for a in whole.attempts if a.hypothesis)
    assert any(a.hypothesis.learnt_from for a in whole.attempts if a.hypothesis), "momentum across traces"
    assert sum(bool(a.accepted) for a in whole.attempts) >= 4


async def test_without_memory_nothing_is_recalled_and_other_changes_are_proposed(whole: Played) -> None:
    run = await played(loop={"memory": False})
    assert run.verdict.ok and run.state.finished
    assert not any(a.recollections for a in run.attempts)
    assert not any(a.hypothesis.learnt_from for a in run.attempts if a.hypothesis)
    assert all(a.challenges for a in run.attempts if a.hypothesis), "diagnosis is another switch"
    assert {a.trace for a in run.attempts} == {0, 1, 2}
    assert proposals(run) != proposals(whole)
    openers = [a.hypothesis.move for a in run.attempts[:3] if a.hypothesis]
    assert len(set(openers)) == 3, "what siblings try just now is no memory: traces still start apart"


async def test_without_diagnosis_there_are_no_challenges_and_no_scores(whole: Played) -> None:
    run = await played(loop={"diagnosis": False})
    assert run.verdict.ok and run.state.finished
    assert len(proposals(run)) == 16 and proposals(run) != proposals(whole)
    for a in run.attempts:
        assert a.hypothesis and a.challenges == () and a.considered == ()
        assert a.hypothesis.scores == Scores() and not a.hypothesis.problem and "prior" in a.hypothesis.reason
    assert any(a.recollections for a in run.attempts), "memory is another switch"


async def test_a_single_trace_has_one_trace_and_nobody_to_learn_from(whole: Played) -> None:
    run = await played(traces=1)
    assert run.verdict.ok and run.state.finished
    assert {a.trace for a in run.attempts} == {0} and not any(a.parents for a in run.attempts)
    assert not any(a.hypothesis.learnt_from for a in run.attempts if a.hypothesis)
    assert proposals(run) != proposals(whole)


@pytest.mark.parametrize("scheduler", ["softmax", "puct"])
async def test_every_scheduler_carries_a_run_to_its_end_and_verifies(scheduler: str) -> None:
    run = await played(gradient={"scheduler": scheduler, "potential": "gain"})
    assert run.verdict.ok and run.state.finished and run.state.finished.outcome == "done"
    assert len(run.attempts) == 16 and {a.trace for a in run.attempts} == {0, 1, 2}
    assert all(a.accepted is not None for a in run.attempts)


async def test_memory_of_the_own_trace_recalls_no_other_trace(whole: Played) -> None:
    run = await played(loop={"shared": False})
    assert run.verdict.ok and run.state.finished
    traces = {a.id: a.trace for a in run.attempts}
    told = [(a.trace, r.attempt) for a in run.attempts for r in a.recollections]
    assert told and all(traces[name] == trace for trace, name in told)
    assert any(traces[r.attempt] != a.trace for a in whole.attempts for r in a.recollections)
    assert not any(a.hypothesis.learnt_from for a in run.attempts if a.hypothesis)


async def test_a_playbook_of_no_strength_carries_a_run_to_a_worse_end(whole: Played) -> None:
    run = await played(playbook={"strength": 0.0}, guard={"enabled": False})
    assert run.verdict.ok and run.state.finished
    faults = [m.get("fault") for a in run.attempts if a.code for m in a.code.spec["members"]]
    assert "crash" in faults and "noise" in faults
    best, sound = run.state.trajectory.best_attempt(), whole.state.trajectory.best_attempt()
    assert sound and sound.score is not None and (best is None or (best.score or 1.0) > sound.score)
    wrong = [a for a in run.attempts if a.feedback and a.accepted is not None and a.feedback.accept != (a.gain > 0)]
    assert wrong, "wrong opinions decide where no guard does"
    assert all(f is None for a in whole.attempts if a.code for f in [a.code.spec["members"][0].get("fault")])
