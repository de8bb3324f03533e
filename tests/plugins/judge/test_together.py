"""Scorer, guard and selection answer one another over a whole run: every step judged once, one submission at the end.

Effects are answered here at random but reproducibly: executions fail, scores scatter, audits refuse, time runs out.
"""

from __future__ import annotations

import pytest

from gome.events import (
    Against,
    AttemptAccepted,
    AttemptRejected,
    Budget,
    BudgetExhausted,
    CodeRejected,
    CodeWritten,
    Comparison,
    Draw,
    EffectCancelled,
    EffectFailed,
    Event,
    ExecutionRequested,
    FeedbackGiven,
    FoldMasked,
    Intent,
    MaskRequested,
    Payload,
    ProfileRequested,
    ScoreRequested,
    SelectionFailed,
    SelectionStarted,
    StepPlanned,
    SubmissionRejected,
    SubmissionScored,
    SubmissionSelected,
    Text,
    result_id,
)
from gome.plugins.judge.guard import plugin as guard
from gome.plugins.scorer.metrics import plugin as scorer
from gome.plugins.selection.reruns import plugin as selection
from gome.plugins.selection.reruns.events import AverageRequested, SubmissionAveraged
from tests.plugins.driver import PROGRAM, Driver, artifact

KINDS = (ExecutionRequested, ScoreRequested, MaskRequested, AverageRequested)


def answer(run: Driver, event: Event, draw: Draw) -> Payload:
    """A made-up result of an intent, now and then a failure."""
    intent = event.payload
    luck = draw.uniform(event.id)
    attempt = getattr(intent, "attempt", "")
    if luck < 0.04:
        return EffectFailed(event.id, event.type, 3, "worker lost", attempt=attempt)
    match intent:
        case ExecutionRequested():
            return run.finished(intent, seconds=5 + 5 * luck, ok=luck > 0.12)
        case ScoreRequested():
            level = 1.0 / (1 + int(attempt[1:] or 0) / 20) if attempt != "final" else 0.5
            score = level + 0.1 * draw.uniform(event.id + "s")
            if intent.masked_fold is not None and luck < 0.4:
                return SubmissionRejected(attempt, intent.purpose, "leak", 2, intent.seed, intent.partition, 0)
            if luck < 0.1:
                return SubmissionRejected(attempt, intent.purpose, "broken", 1, intent.seed, intent.partition)

            def compare(rival: Against) -> Comparison:
                return Comparison(rival.attempt, 0.2 * (draw.uniform(event.id + rival.attempt) - 0.4), 0.02)

            return SubmissionScored(
                attempt,
                intent.purpose,
                score,
                se=0.02,
                seed=intent.seed,
                partition=intent.partition,
                masked_fold=intent.masked_fold,
                comparisons=tuple(compare(r) for r in intent.against),
                outputs=intent.outputs,
            )
        case MaskRequested():
            return FoldMasked(intent.partition, intent.fold, {"train.csv": artifact(f"masked{intent.fold}")})
        case AverageRequested():
            return SubmissionAveraged(artifact("mean.sub"), artifact("mean.oof"))
    raise AssertionError(intent)


def pending(run: Driver) -> list[Event]:
    """Intents without a result, oldest first."""
    done = {e.id for e in run.log}
    return [e for e in run.log if isinstance(e.payload, KINDS) and result_id(e.id) not in done]


def work(run: Driver, draw: Draw, *, at_most: int = 10_000) -> None:
    """Answer open intents in a shuffled order until there are none (or so many have been answered)."""
    for count in range(at_most):
        still = pending(run)
        if not still:
            return
        event = still[draw.below(len(still), f"next{count}/{len(run.log)}")]
        result = answer(run, event, draw)
        run.say(result, cause=event.id, id=result_id(event.id), active=run.active + 1.0)
        if isinstance(result, SubmissionScored) and result.purpose == "full" and result.attempt != "final":
            run.say(FeedbackGiven(result.attempt, draw.uniform(event.id + "f") < 0.5, aligned=draw.uniform("g") < 0.9))


@pytest.mark.parametrize("seed", range(12))
def test_every_step_is_judged_once_and_one_submission_is_handed_in(seed: int) -> None:
    run = Driver(scorer, guard, selection, seed=seed)
    draw = Draw(seed, "world")
    run.start(budget=Budget(seconds=600.0))
    assert len(run.all(ProfileRequested)) == 1
    for number in range(1, 25):
        trace = number % 3
        heads = [p.attempt for p in run.all(AttemptAccepted) if int(p.attempt[1:]) % 3 == trace]
        name = f"a{number}"
        run.say(StepPlanned(name, trace, number, parent=heads[-1] if heads else ""))
        if draw.uniform(name) < 0.1:
            run.say(CodeRejected(name, "no such column"))
            continue
        text = Text.of(PROGRAM.format(name=name))
        run.say(CodeWritten(name, text, text.digest, trusted=draw.uniform(name + "t") < 0.7))
        run.say(ExecutionRequested(name, "full", text, {"train.csv": artifact("train.csv")}, trusted=True))
        work(run, draw, at_most=draw.below(12, name + "w"))
    run.say(SelectionStarted("time"), active=max(run.active, 480.0))
    for event in pending(run):
        if not isinstance(event.payload, ScoreRequested) and event.id in {e.id for e in run.log if e.by == "test"}:
            cancelled = EffectCancelled(event.id, event.type, "over", attempt=getattr(event.payload, "attempt", ""))
            run.say(cancelled, cause=event.id, id=result_id(event.id))
    work(run, draw, at_most=8 if seed % 3 == 0 else 10_000)
    run.say(BudgetExhausted("seconds", 600.0, 600.0), active=600.0)
    work(run, draw)
    for planned in run.all(StepPlanned):
        assert isinstance(run.verdict(planned.attempt), (AttemptAccepted, AttemptRejected)), planned.attempt
    assert len(run.all(SubmissionSelected)) + len(run.all(SelectionFailed)) == 1
    assert all(isinstance(e.payload, Intent) or e.by for e in run.log)


def test_the_same_seed_says_the_same() -> None:
    def log() -> list[tuple[str, str]]:
        run = Driver(scorer, guard, selection, seed=5)
        draw = Draw(5, "world")
        run.start()
        for number in range(1, 8):
            text = Text.of(PROGRAM.format(name=number))
            run.say(StepPlanned(f"a{number}", 0, number, parent=f"a{number - 1}" if number > 1 else ""))
            run.say(CodeWritten(f"a{number}", text, text.digest, trusted=True))
            run.say(ExecutionRequested(f"a{number}", "full", text, {}, trusted=True))
            work(run, draw)
        run.say(SelectionStarted("time"), active=500.0)
        work(run, draw)
        return [(e.id, repr(e.payload)) for e in run.log]

    assert log() == log()
