"""The decider of reruns: recorded code runs once more, in a run of its own, and its score is compared. Pure.

A rerun is a run like any other (in the log, shown, verified, exported), but a small one: its plugins are this decider
and the runner and scorer, which perform and decide nothing. The folds are dealt, the program runs once, it is scored,
the scores are compared, and the run ends. Starting one is in `rerunning`.

The program is a stranger's, whoever wrote it: never trusted, and never answered from earlier executions. It is given
`input/` and nothing else; predictions of members that the recorded execution may have reused are fitted again.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from gome.events import (
    BASELINE,
    Against,
    CodeWritten,
    DataProfiled,
    Draw,
    EffectCancelled,
    EffectFailed,
    Event,
    ExecutionFinished,
    ExecutionRequested,
    Payload,
    ProfileRequested,
    RerunCompared,
    RerunRequested,
    RunFinished,
    RunStarted,
    ScoreRequested,
    StepPlanned,
    StopRequested,
    SubmissionRejected,
    SubmissionScored,
)
from gome.kernel.discovery import choose, discover, pinned_modules
from gome.kernel.plugin import Plugin, silent

RECORDED = "the record"
"""Name under which the recorded predictions are compared with the new ones."""
CLEAR = 2.0
"""Standard errors of the difference beyond which two scores of the same rows are different."""
EXACT = 1e-9
"""Relative difference of scores below which they are the same, whatever the noise: the order of a sum."""
_ABOUT = re.compile(r"(?i)score|metric|valid|\bcv\b|\boof\b|loss|auc|accuracy|rmsl?e|\bmae\b|\bf1\b|\br2\b")
_NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?")
READS = (
    RunStarted,
    RerunRequested,
    DataProfiled,
    ExecutionFinished,
    SubmissionScored,
    SubmissionRejected,
    EffectFailed,
    EffectCancelled,
    StopRequested,
)


@dataclass
class State:
    """What a rerun has heard so far."""

    started: RunStarted | None = None
    asked: RerunRequested | None = None
    profiled: DataProfiled | None = None


def evolve(state: State, event: Event) -> State:
    """Fold one event."""
    match event.payload:
        case RunStarted() as started:
            state.started = started
        case RerunRequested() as asked:
            state.asked = asked
        case DataProfiled() as profiled:
            state.profiled = profiled
    return state


def decide(state: State, event: Event, draw: Draw) -> Sequence[Payload]:
    """Answer one event."""
    started, asked = state.started, state.asked
    if started is None or asked is None:
        return ()
    match event.payload:
        case RerunRequested():
            task = started.task
            return (ProfileRequested(task=task, seed=asked.folds_seed, folds=asked.folds, partitions=asked.partitions),)
        case DataProfiled() as profiled:
            return _execution(started, asked, profiled)
        case ExecutionFinished(ok=True, purpose="full") as done if state.profiled is not None:
            return (_score(started, asked, state.profiled, done),)
        case ExecutionFinished() as done:
            return _without_score(asked, done)
        case SubmissionScored() as scored:
            return _end(_compared(started, asked, scored))
        case SubmissionRejected(reason=reason):
            return _end(_failed(asked, "contract", f"the submission is refused: {reason}"))
        case EffectFailed(error=why) | EffectCancelled(reason=why):
            return _end(_failed(asked, "", why))
        case StopRequested(reason=reason):
            return (RunFinished(outcome="stopped", reason=reason or "asked to stop"),)
    return ()


def _execution(started: RunStarted, asked: RerunRequested, profiled: DataProfiled) -> Sequence[Payload]:
    planned = StepPlanned(attempt=asked.attempt, trace=0, step=0, reason=f"{asked.attempt} of run {asked.source} again")
    written = CodeWritten(attempt=asked.attempt, program=asked.program, digest=asked.program.digest)
    request = ExecutionRequested(
        attempt=asked.attempt,
        purpose=asked.purpose,
        program=asked.program,
        inputs={
            "train.csv": started.task.train,
            "test.csv": started.task.test,
            "folds.csv": profiled.folds,
            "sample_submission.csv": profiled.sample,
        },
        seed=asked.seed,
        partition=asked.partition,
        limits=asked.limits,
    )
    return (written, request) if asked.attempt == BASELINE else (planned, written, request)


def _score(
    started: RunStarted, asked: RerunRequested, profiled: DataProfiled, done: ExecutionFinished
) -> ScoreRequested:
    return ScoreRequested(
        task=started.task,
        attempt=asked.attempt,
        purpose=done.purpose,
        outputs={name: file for name, file in done.outputs.items() if "/" not in name},
        folds=profiled.folds,
        seed=done.seed,
        partition=done.partition,
        against=(Against(RECORDED, asked.oof),) if asked.oof else (),
    )


def _without_score(asked: RerunRequested, done: ExecutionFinished) -> Sequence[Payload]:
    """A debug execution, or one after which there is nothing to score."""
    claim = claimed(str(done.stdout))
    if done.ok:
        said = RerunCompared(
            attempt=asked.attempt,
            outcome="ran",
            recorded=asked.recorded,
            claim=claim,
            reason="a debug execution ended well",
        )
        return _end(said)
    left = claim is not None or "submission.csv" in done.outputs
    if done.failure == "contract" and done.exit_code == 0 and "oof.csv" not in done.outputs and left:
        said = RerunCompared(
            attempt=asked.attempt,
            outcome="unchecked",
            recorded=asked.recorded,
            claim=claim,
            reason="the program ended well, but what it scores cannot be checked without out-of-fold predictions "
            f"({done.error})",
        )
        return _end(said)
    return _end(_failed(asked, done.failure, done.error))


def claimed(printed: str) -> float | None:
    """The number in the last printed line that speaks of a score: the first one after that word, one with decimals
    before others. None where no line does."""
    for line in reversed(printed.splitlines()[-200:]):
        about = _ABOUT.search(line[:500])
        numbers = _NUMBER.findall(line[:500], about.end()) if about else []
        if numbers:
            value = float(next((n for n in numbers if "." in n), numbers[0]))
            return value if math.isfinite(value) else None
    return None


def _compared(started: RunStarted, asked: RerunRequested, scored: SubmissionScored) -> RerunCompared:
    greater = started.task.metric.greater_is_better
    recorded = asked.recorded
    said = RerunCompared(
        attempt=asked.attempt, outcome="scored", score=scored.score, score_se=scored.se, recorded=recorded
    )
    if recorded is None or asked.basis == "nothing":
        why = "there is no recorded score" if recorded is None else "the recorded score is of another metric"
        return _with(said, reason=why)
    difference = scored.score - recorded if greater else recorded - scored.score
    if asked.basis == "metric":
        return _with(said, difference=difference, reason="the recorded score is of other rows")
    paired = next((c for c in scored.comparisons if c.attempt == RECORDED), None)
    if paired is not None:
        difference, se = paired.difference, paired.row_se
    else:
        se = math.hypot(scored.se, asked.recorded_se or 0.0)
    same = abs(difference) <= max(CLEAR * se, EXACT * abs(recorded))
    how = "over the same rows" if paired is not None else "as if the two were independent"
    return _with(
        said,
        outcome="reproduced" if same else "different",
        difference=difference,
        se=se,
        paired=paired is not None,
        reason=f"{difference:+.6g} with a standard error of {se:.3g} {how}",
    )


def _with(said: RerunCompared, **fields: Any) -> RerunCompared:
    return msgspec.structs.replace(said, **fields)


def _failed(asked: RerunRequested, failure: str, reason: str) -> RerunCompared:
    return RerunCompared(
        attempt=asked.attempt, outcome="failed", recorded=asked.recorded, failure=failure, reason=reason
    )


def _end(said: RerunCompared) -> Sequence[Payload]:
    first = said.reason.partition("\n")[0]
    return said, RunFinished(outcome="failed" if said.outcome == "failed" else "done", reason=first)


rerun = Plugin(
    name="rerun",
    role="plugin",
    summary="runs recorded code once more and compares its score",
    reads=READS,
    answers=READS[1:],
    initial=State,
    evolve=evolve,
    decide=decide,
    modules=("gome.kernel.rerun",),
)
"""The one decider of a rerun; its name is reserved."""


def cast(roles: Mapping[str, str]) -> list[Plugin]:
    """The plugins of a rerun: this decider, and the runner and scorer that `roles` name (else the defaults), which only
    perform. Raises `PluginError`."""
    named = {role: roles.get(role, "") for role in ("runner", "scorer")}
    performers = [p for p in choose(discover(), named, extra=()) if p.role in named]
    mute = [replace(pinned_modules(p), reads=(), answers=(), decide=silent) for p in performers]
    return [rerun, *mute]
