"""Programs whose predictions know the labels they are scored by: really executed, scored, audited, and judged."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from gome.events import (
    AttemptRejected,
    Budget,
    CodeWritten,
    DataProfiled,
    Event,
    ExecutionFinished,
    ExecutionRequested,
    FeedbackGiven,
    MaskRequested,
    Payload,
    RunStarted,
    ScoreRequested,
    StepPlanned,
    SubmissionRejected,
    SubmissionScored,
    Text,
    result_id,
)
from gome.plugins.judge.guard import plugin as guard
from gome.plugins.runner.sandbox import plugin as runner
from gome.plugins.scorer.metrics import plugin as scorer
from gome.plugins.scorer.metrics.audit import audit
from gome.plugins.scorer.metrics.mask import mask_fold
from gome.plugins.scorer.metrics.score import score
from tests.attacks.besieged import PRELUDE
from tests.plugins.driver import Driver
from tests.plugins.runner.conftest import make_bench
from tests.plugins.scorer.world import World, world

pytestmark = pytest.mark.anyio
KINDS = (ExecutionRequested, ScoreRequested, MaskRequested)


class Run(Driver):
    """A run of runner, scorer and guard in which every intent is carried out."""

    def __init__(self, folder: Path) -> None:
        super().__init__(runner, scorer, guard)
        self.world: World = world("regression", rows=600)
        self.bench: Any = make_bench(folder)
        for file in (self.world.task.train, self.world.task.test, self.world.folds):
            self.bench.store.put(self.world.store.get(file.digest))
        self.bench.task, self.world.store = self.world.task, self.bench.store

    async def carry_out(self, event: Event) -> Payload:
        """The real answer to an intent."""
        store, intent = self.bench.store, event.payload
        if isinstance(intent, ExecutionRequested):
            assert runner.perform is not None
            result = await runner.perform(event, self.bench.context(event))
            payload: Payload = getattr(result, "payload", result)
            assert isinstance(payload, ExecutionFinished) and payload.ok, payload
            return payload
        if isinstance(intent, MaskRequested):
            return mask_fold(store, intent)
        assert isinstance(intent, ScoreRequested)
        return score(store, intent, 1) if intent.masked_fold is None else audit(store, intent, 1)

    async def attempt(self, name: str, cheat: str, parent: str = "") -> None:
        """An attempt with `programs/cheat.py`, until nothing is left to do."""
        text = (Path(__file__).parent / "programs" / "cheat.py").read_text()
        program = Text.of(PRELUDE.format(known=json.dumps({"cheat": cheat})) + text)
        self.say(StepPlanned(name, 0, step=len(self.all(StepPlanned)), parent=parent))
        self.say(CodeWritten(name, program, program.digest, trusted=False))
        while True:
            done = {event.id for event in self.log}
            due = [e for e in self.log if isinstance(e.payload, KINDS) and result_id(e.id) not in done]
            if not due:
                return
            result = await self.carry_out(due[0])
            self.say(result, cause=due[0].id, id=result_id(due[0].id))
            if isinstance(result, SubmissionScored) and result.purpose == "full":
                self.say(FeedbackGiven(name, accept=True))


@pytest.mark.parametrize("cheat", ["labels", "encoding"])
async def test_predictions_that_know_the_labels_are_caught_by_the_audit(tmp_path: Path, cheat: str) -> None:
    run = Run(tmp_path)
    tables: dict[str, Any] = {"sandbox": {"memory_mb": 1000, "processes": 64}, "guard": {"seeds": 1}}
    run.say(RunStarted(task=run.world.task, seed=1, budget=Budget(seconds=1000.0), settings=tables))
    run.say(DataProfiled(run.world.folds, run.world.folds, fold_count=5, partitions=8))
    await run.attempt("honest", "")
    await run.attempt("cheat", cheat, parent="honest")
    claims = {p.attempt: p.score for p in run.all(SubmissionScored) if p.purpose == "full"}
    assert claims["cheat"] < 0.95 * claims["honest"], "the claim is better: that is what it cheats for"
    (refused,) = run.all(SubmissionRejected)
    assert (refused.attempt, refused.layer) == ("cheat", 2)
    assert "labels are really hidden" in refused.reason
    verdict = run.verdict("cheat")
    assert isinstance(verdict, AttemptRejected)
    assert not isinstance(run.verdict("honest"), AttemptRejected)
