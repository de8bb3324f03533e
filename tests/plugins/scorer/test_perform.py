"""The scorer's effects as the kernel performs them: profiling, scoring, the hidden grade before the public score."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import structlog

from gome.events import (
    BASELINE,
    Attempt,
    DataProfiled,
    Draw,
    Event,
    ExecutionFinished,
    Intent,
    MaskRequested,
    Payload,
    ProfileRequested,
    RunStarted,
    SubmissionGraded,
    SubmissionRejected,
    SubmissionScored,
    Trajectory,
)
from gome.kernel.errors import ArtifactMissing
from gome.kernel.plugin import Context
from gome.plugins.scorer.metrics import plugin
from tests.plugins.scorer.world import World, world

pytestmark = pytest.mark.anyio


@dataclass
class Vault:
    """Answers of one task, and the grades that were recorded."""

    world: World
    grades: list[SubmissionGraded] = field(default_factory=list)

    def answers(self, digest: str) -> bytes:
        if digest != self.world.task.answers:
            raise ArtifactMissing(digest)
        return self.world.store.get(digest)

    async def record(self, grade: SubmissionGraded) -> None:
        self.grades.append(grade)


async def perform(
    w: World, intent: Intent, vault: Vault | None = None, trajectory: Trajectory | None = None
) -> Payload:
    async def call(child: Intent) -> Payload:
        raise AssertionError(f"the scorer asked for {child}")

    event = Event(id="e" * 32, type=type(intent).__name__, seq=5, ts=0.0, payload=intent)
    context = Context(
        run="r",
        intent=event,
        attempt=1,
        started=RunStarted(w.task, seed=0),
        trajectory=trajectory or Trajectory(),
        settings={},
        artifacts=w.store,
        workdir=Path("/nowhere"),
        home=Path("/nowhere"),
        draw=Draw(0, event.id),
        call=call,
        cancelled=lambda: False,
        log=structlog.stdlib.get_logger(),
        vault=vault,
    )
    assert plugin.perform is not None
    found = await plugin.perform(event, context)
    assert isinstance(found, Payload)
    return found


async def test_a_profile_brings_folds_and_a_sample_submission() -> None:
    w = world("multiclass")
    found = await perform(w, ProfileRequested(w.task, seed=0))
    assert isinstance(found, DataProfiled) and found.fold_count == 5 and found.partitions == 8
    assert list(w.table(found.folds)) == ["id", *(f"p{i}" for i in range(8))]
    sample = w.table(found.sample)
    assert list(sample) == ["id", "a", "b", "c"] and list(sample["id"]) == list(w.test["id"])
    assert found.folds == w.folds, "the same seed deals the same folds"


async def test_a_score_is_graded_in_the_vault_first() -> None:
    w = world("regression")
    predicted = w.answers["y"].to_numpy() + 0.5
    vault = Vault(w)
    submission = w.put(w.predictions(w.test["id"], predicted), "submission.csv")
    found = await perform(w, w.request(w.oof(w.noisy(0.3)), submission), vault)
    assert isinstance(found, SubmissionScored)
    (grade,) = vault.grades
    assert (grade.attempt, grade.final) == ("a1", False) and grade.score == pytest.approx(0.5)
    assert "0.5" not in str(found.score)


async def test_grades_of_other_purposes_do_not_replace_the_attempt_s() -> None:
    w = world("regression")
    vault = Vault(w)
    await perform(w, w.request(w.oof(w.noisy(0.3)), purpose="seed", seed=3), vault)
    await perform(w, w.request(w.oof(w.noisy(0.3), partition=2), purpose="rerun", partition=2), vault)
    assert [g.attempt for g in vault.grades] == ["a1:seed:0:3", "a1:rerun:2:0"]


async def test_refused_submissions_and_audits_are_not_graded() -> None:
    w = world("regression")
    vault = Vault(w)
    found = await perform(w, w.request(w.oof(w.noisy(0.3), partition=1)), vault)
    assert isinstance(found, SubmissionRejected)
    found = await perform(w, w.request(w.oof(w.noisy(0.3)), purpose="audit", masked_fold=0), vault)
    assert isinstance(found, SubmissionRejected) and not vault.grades


async def test_a_task_without_answers_is_scored_all_the_same() -> None:
    w = world("regression")
    assert isinstance(await perform(w, w.request(w.oof(w.noisy(0.3)))), SubmissionScored)


async def test_the_final_grade_has_intervals_against_baseline_and_first_attempt() -> None:
    w = world("regression", rows=600)
    truth = w.answers["y"].to_numpy()
    generator = np.random.default_rng(0)

    def of(name: str, noise: float, accepted: bool) -> Attempt:
        file = w.put(w.predictions(w.test["id"], truth + noise * generator.normal(size=len(truth))), "submission.csv")
        done = ExecutionFinished(name, "full", True, outputs={"submission.csv": file})
        return Attempt(name, executions=(done,), accepted=accepted)

    trajectory = Trajectory(baseline=of(BASELINE, 1.0, False))
    for attempt in (of("a1", 5.0, False), of("a2", 0.7, True), of("a3", 0.6, True)):
        trajectory.attempts[attempt.id] = attempt
    vault = Vault(w)
    best = w.put(w.predictions(w.test["id"], truth + 0.5 * generator.normal(size=len(truth))), "submission.csv")
    asked = w.request(w.oof(w.noisy(0.3)), best, attempt="final", purpose="rerun", final=True)
    await perform(w, asked, vault, trajectory)
    (grade,) = vault.grades
    assert (grade.attempt, grade.final) == ("final", True)
    assert [c.attempt for c in grade.comparisons] == [BASELINE, "a2"]
    for comparison in grade.comparisons:
        low, high = grade.intervals[comparison.attempt]
        assert 0 < low < comparison.difference < high


async def test_masking_is_performed() -> None:
    w = world("binary")
    found: Any = await perform(w, MaskRequested(w.task, w.folds, 0, 1))
    assert set(found.inputs) == {"train.csv", "test.csv", "folds.csv", "sample_submission.csv"}
