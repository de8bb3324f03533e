"""When to profile, and what to score against what. Pure: no table is opened here.

A run begins with the folds and a profile. Every execution that ended well (but debug ones) is scored: against the
parent, the nearest accepted ancestor, the head of the trace, the best attempt and the baseline as they did on the same
partition, with the same seed where there is one; an audit against its own claim. What is handed in at the end is scored
once more as `final`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from gome.events import (
    BASELINE,
    Against,
    Artifact,
    AttemptAccepted,
    DataProfiled,
    Draw,
    Event,
    ExecutionFinished,
    Payload,
    ProfileRequested,
    RunForked,
    RunStarted,
    ScoreRequested,
    StepPlanned,
    SubmissionRejected,
    SubmissionScored,
    SubmissionSelected,
    Task,
)

FINAL = "final"
"""Name of the attempt under which the handed-in submission is scored."""
MOST_AGAINST = 6
MOST_OTHERS = 4


class MetricsSettings(Struct, frozen=True):
    """The scorer's table in the settings: folds per partition (2 or more; fewer where a table has not rows enough), and
    how many partitions there are to choose from (1 to 1000)."""

    folds: Annotated[int, Meta(ge=2)] = 5
    partitions: Annotated[int, Meta(ge=1, le=1000)] = 8


@dataclass
class Scoring:
    """What the scorer has to know about the run: who has out-of-fold predictions on which partition.

    `oofs[partition][attempt]` is that attempt's predictions by seed (latest last). `unprofiled` is the run's start
    until a profile has been asked for, `selected` what is handed in until its score has been.
    """

    task: Task | None = None
    unprofiled: RunStarted | None = None
    selected: SubmissionSelected | None = None
    folds: Artifact | None = None
    traces: dict[str, StepPlanned] = field(default_factory=dict)
    heads: dict[int, str] = field(default_factory=dict)
    scores: dict[str, float] = field(default_factory=dict)
    accepted: set[str] = field(default_factory=set)
    best: str = ""
    recent: list[str] = field(default_factory=list)
    oofs: dict[int, dict[str, dict[int, Artifact]]] = field(default_factory=dict)
    unscored: dict[tuple[str, str, int, int, int | None], ExecutionFinished] = field(default_factory=dict)


def evolve(state: Scoring, event: Event) -> Scoring:
    """Fold one event."""
    if isinstance(done := event.payload, ExecutionFinished) and done.ok and done.purpose != "debug":
        state.unscored[_key(done)] = done
    match event.payload:
        case RunStarted(task=task) as started:
            state.task, state.unprofiled = task, started
        case ProfileRequested():
            state.unprofiled = None
        case SubmissionSelected() as chosen:
            state.selected = chosen
        case ScoreRequested(final=True):
            state.selected = None
        case ScoreRequested() as asked:
            state.unscored.pop(_key(asked), None)
        case DataProfiled(folds=folds):
            state.folds = folds
        case StepPlanned() as planned:
            state.traces[planned.attempt] = planned
        case ExecutionFinished(ok=True) as done if done.purpose not in ("debug", "audit") and "oof.csv" in done.outputs:
            # Known from here on, not only once it is scored: two repeats that end together must still meet.
            by_attempt = state.oofs.setdefault(done.partition, {})
            by_attempt.setdefault(done.attempt, {})[done.seed] = done.outputs["oof.csv"]
        case SubmissionRejected(masked_fold=None) as refused:
            state.oofs.get(refused.partition, {}).get(refused.attempt, {}).pop(refused.seed, None)
        case SubmissionScored(purpose="full") as scored:
            state.scores[scored.attempt] = scored.score
            if scored.attempt != BASELINE:
                state.recent = [*state.recent, scored.attempt][-MOST_OTHERS:]
        case AttemptAccepted(attempt=attempt) if attempt in state.traces:
            state.accepted.add(attempt)
            state.heads[state.traces[attempt].trace] = attempt
            if attempt in state.scores and (state.best not in state.scores or _better(state, attempt, state.best)):
                state.best = attempt
    return state


def _key(of: ExecutionFinished | ScoreRequested) -> tuple[str, str, int, int, int | None]:
    return of.attempt, of.purpose, of.seed, of.partition, of.masked_fold


def _better(state: Scoring, new: str, old: str) -> bool:
    difference = state.scores[new] - state.scores[old]
    return difference > 0 if state.task and state.task.metric.greater_is_better else difference < 0


def _profile(started: RunStarted) -> ProfileRequested:
    settings = settings_of(started.settings)
    return ProfileRequested(task=started.task, seed=started.seed, folds=settings.folds, partitions=settings.partitions)


def _final(chosen: SubmissionSelected, task: Task, folds: Artifact) -> ScoreRequested:
    return ScoreRequested(
        task=task,
        attempt=FINAL,
        purpose="rerun",
        outputs={"submission.csv": chosen.submission, "oof.csv": chosen.oof},
        folds=folds,
        seed=chosen.seeds[0] if chosen.seeds else 0,
        partition=chosen.partitions[0] if chosen.partitions else 0,
        final=True,
    )


def decide(state: Scoring, event: Event, draw: Draw) -> Sequence[Payload]:
    """Answer one event."""
    match event.payload:
        case RunStarted() as started:
            return [_profile(started)]
        case ExecutionFinished(ok=True) as done if done.purpose != "debug" and state.task and state.folds:
            return [_request(state, done, state.task, state.folds)]
        case RunForked() if state.unprofiled:
            return [_profile(state.unprofiled)]
        case RunForked() if state.task and state.folds:
            # A scorer that takes over in a fork owes a score to every execution that had none.
            owed = [_request(state, done, state.task, state.folds) for done in state.unscored.values()]
            return [*owed, *([_final(state.selected, state.task, state.folds)] if state.selected else [])]
        case SubmissionSelected() as chosen if state.task and state.folds:
            return [_final(chosen, state.task, state.folds)]
    return []


def settings_of(settings: dict[str, Any]) -> MetricsSettings:
    """This plugin's table of a run's settings."""
    return msgspec.convert(settings.get("metrics", {}), MetricsSettings)


def _request(state: Scoring, done: ExecutionFinished, task: Task, folds: Artifact) -> ScoreRequested:
    audited = done.purpose == "audit"
    return ScoreRequested(
        task=task,
        attempt=done.attempt,
        purpose=done.purpose,
        outputs={name: file for name, file in done.outputs.items() if "/" not in name},
        folds=folds,
        seed=done.seed,
        partition=done.partition,
        masked_fold=done.masked_fold,
        against=() if audited else _against(state, done),
        others=_others(state, done) if done.purpose == "full" else (),
        claim=_oof(state, done.attempt, done.seed, done.partition) if audited else None,
    )


def _oof(state: Scoring, attempt: str, seed: int, partition: int) -> Artifact | None:
    """An attempt's predictions on a partition: with this seed, else the latest with another one."""
    by_seed = state.oofs.get(partition, {}).get(attempt, {})
    return by_seed.get(seed) or next(reversed(by_seed.values()), None)


def _against(state: Scoring, done: ExecutionFinished) -> tuple[Against, ...]:
    if done.purpose == "seed":
        return ()
    planned = state.traces.get(done.attempt)
    if done.purpose == "full":
        names = [_ancestor(state, planned), _taken(state, planned)] if planned else []
        names += [state.heads.get(planned.trace, "") if planned else "", state.best, BASELINE]
    else:
        # Repeats and reruns meet everybody who was run on this partition with this seed.
        there = state.oofs.get(done.partition, {})
        names = [n for n, by_seed in there.items() if done.seed in by_seed]
        if planned and planned.parent in names:
            names.insert(0, planned.parent)
    found = []
    for name in dict.fromkeys(names):
        if name and name != done.attempt and (oof := _oof(state, name, done.seed, done.partition)):
            found.append(Against(name, oof))
    return tuple(found[:MOST_AGAINST])


def _ancestor(state: Scoring, planned: StepPlanned) -> str:
    """The parent, or, where that has no score, the nearest ancestor that has one."""
    name = planned.parent
    while name not in state.scores and name in state.traces:
        name = state.traces[name].parent
    return name


def _taken(state: Scoring, planned: StepPlanned) -> str:
    """The nearest accepted ancestor, "" where there is none."""
    name = planned.parent
    while name in state.traces and name not in state.accepted:
        name = state.traces[name].parent
    return name


def _others(state: Scoring, done: ExecutionFinished) -> tuple[Against, ...]:
    """The last attempts, for the correlation of residuals."""
    taken = {a.attempt for a in _against(state, done)} | {done.attempt}
    found = [
        Against(name, oof)
        for name in state.recent
        if name not in taken and (oof := _oof(state, name, done.seed, done.partition))
    ]
    return tuple(found)
