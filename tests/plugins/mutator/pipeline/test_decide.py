"""The mutator's decisions: programs for changes, reasons for refusals, parents by plan, no program twice."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gome.events import (
    Artifact,
    CodeRejected,
    CodeWritten,
    Column,
    DataProfiled,
    Draw,
    Event,
    Hypothesis,
    HypothesisProposed,
    Metric,
    Payload,
    RunStarted,
    StepPlanned,
    Task,
)
from gome.events.pipeline import member_key, read_pipeline
from gome.plugins.mutator.pipeline import plugin
from gome.plugins.mutator.pipeline.render import RENDERER

NOTHING = Artifact(digest="sha256-0", size=0)
TASK = Task(
    name="toy",
    kind="regression",
    metric=Metric("rmse", False),
    target="y",
    id="id",
    columns=(Column(name="size", kind="numeric"), Column(name="town", kind="category")),
    train=NOTHING,
    test=NOTHING,
    rows_train=1000,
    rows_test=100,
)
WHOLE = {"pipeline": {"members": [{"model": {"family": "ridge"}}]}}


class History:
    """A log of one run that the mutator folds and answers."""

    def __init__(self, tables: dict[str, dict[str, Any]] | None = None, **environment: str) -> None:
        self.state: Any = plugin.initial()
        self.seq = 0
        self.say(RunStarted(task=TASK, seed=1, environment=environment, settings=tables or {}))
        self.say(DataProfiled(folds=NOTHING, sample=NOTHING, fold_count=5, partitions=8))

    def say(self, payload: Payload) -> Sequence[Payload]:
        """Fold an event, and the answer to it; return the answer."""
        self.seq += 1
        event = Event(id=f"e{self.seq}", type=type(payload).__name__, seq=self.seq, ts=0.0, payload=payload)
        self.state = plugin.evolve(self.state, event)
        answer = plugin.decide(self.state, event, Draw(1, event.id)) if type(payload) in (plugin.answers or ()) else ()
        for said in answer:
            self.say(said)
        return answer

    def step(self, attempt: str, change: dict[str, Any], parent: str = "") -> Payload:
        """Plan a step, propose a change for it, and return what the mutator says."""
        self.say(StepPlanned(attempt=attempt, trace=0, step=1, parent=parent))
        (answer,) = self.say(HypothesisProposed(attempt=attempt, hypothesis=Hypothesis("try", "model", change=change)))
        return answer


def test_a_whole_pipeline_becomes_a_trusted_program() -> None:
    written = History().step("a1", WHOLE)
    assert isinstance(written, CodeWritten)
    compile(str(written.program), "program.py", "exec")
    assert written.digest == written.program.digest
    assert written.trusted
    assert written.renderer == RENDERER
    assert written.members == (member_key(read_pipeline(written.spec).members[0]),)
    assert 1 < written.estimate_seconds < 60


def test_a_partial_change_is_applied_to_the_parent_of_the_plan() -> None:
    history = History()
    history.step("a1", WHOLE)
    written = history.step("a2", {"add": [{"model": {"family": "knn"}}]}, parent="a1")
    assert isinstance(written, CodeWritten)
    assert [m["model"]["family"] for m in written.spec["members"]] == ["ridge", "knn"]


def test_a_partial_change_without_a_parent_is_refused() -> None:
    refused = History().step("a1", {"edit": {"set": {"bag": 2}}}, parent="a0")
    assert isinstance(refused, CodeRejected)
    assert "no parent" in refused.reason


def test_the_same_program_is_not_written_twice() -> None:
    history = History()
    history.step("a1", WHOLE)
    refused = history.step("a3", {"pipeline": {"members": [{"model": {"family": "ridge", "alpha": 0.0}}]}})
    assert refused == CodeRejected(attempt="a3", reason="duplicate of a1: the same program was written before")


def test_refusals_say_what_is_wrong() -> None:
    steps = [{"op": "ratio", "a": "size", "b": "length"}]
    refused = History().step("a1", {"pipeline": {"members": [{"features": steps}]}})
    assert isinstance(refused, CodeRejected)
    assert "ratio names a column that is not there: 'length'" in refused.reason


def test_a_network_is_refused_where_programs_have_no_torch() -> None:
    change = {"pipeline": {"members": [{"model": {"family": "network"}}]}}
    assert isinstance(History(torch="2.13.0").step("a1", change), CodeWritten)
    refused = History(lightgbm="4.7.0").step("a1", change)
    assert isinstance(refused, CodeRejected)
    assert "needs torch" in refused.reason


def test_partial_scores_are_written_where_that_was_asked_for_and_a_fold_s_score_is_final() -> None:
    plain, asked = History(), History(tables={"pipeline": {"partial_scores": True}})
    both = {"pipeline": {"members": [{"model": {"family": f}} for f in ("ridge", "svm")], "blend": {"kind": "mean"}}}
    for attempt, change, differs in (("a1", WHOLE, True), ("a2", both, False)):
        before, after = (history.step(attempt, change) for history in (plain, asked))
        assert isinstance(before, CodeWritten) and isinstance(after, CodeWritten)
        assert (after.program != before.program) == differs == (after.renderer != before.renderer)
        assert ("partial_scores.csv" in str(after.program)) == differs and after.trusted
