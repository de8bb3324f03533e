"""Carries out the scorer's three effects in a worker thread: profile the data, mask a fold, score a submission.

The hidden grade, where there are answers, is recorded in the vault before the public score is returned, so a run that
crashes between the two repeats both. The heavy modules are imported here, on first use. BLAS is held to one thread:
these effects run inside gome's own process, beside programs that own the other cores.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from anyio import to_thread

from gome.events import (
    METRICS,
    Artifact,
    DataProfiled,
    Event,
    MaskRequested,
    Payload,
    ProfileRequested,
    ScoreRequested,
    SubmissionScored,
    Task,
)
from gome.kernel.errors import UsageError
from gome.kernel.plugin import Artifacts, Context

T = TypeVar("T")


async def perform(event: Event, ctx: Context) -> Payload:
    """Answer one of the scorer's intents."""
    asked = event.payload
    if isinstance(asked, ProfileRequested):
        check_task(asked.task)
        return await _aside(lambda: profile_data(ctx.artifacts, asked))
    if isinstance(asked, MaskRequested):
        from gome.plugins.scorer.metrics.mask import mask_fold

        return await _aside(lambda: mask_fold(ctx.artifacts, asked))
    if not isinstance(asked, ScoreRequested):
        raise TypeError(f"the metrics scorer does not perform {event.type}")
    return await _score(asked, ctx)


async def _aside(work: Callable[[], T]) -> T:
    """Run numpy work in a thread, with one BLAS thread."""

    def limited() -> T:
        from threadpoolctl import threadpool_limits

        with threadpool_limits(1, user_api="blas"):
            return work()

    return await to_thread.run_sync(limited)


async def _score(asked: ScoreRequested, ctx: Context) -> Payload:
    from gome.plugins.scorer.metrics.audit import audit
    from gome.plugins.scorer.metrics.grade import grade
    from gome.plugins.scorer.metrics.score import score

    seed = ctx.draw.seed32("bootstrap")
    if asked.masked_fold is not None:
        return await _aside(lambda: audit(ctx.artifacts, asked, seed))
    public = await _aside(lambda: score(ctx.artifacts, asked, seed))
    if isinstance(public, SubmissionScored) and asked.task.answers and ctx.vault is not None:
        answers = ctx.vault.answers(asked.task.answers)
        rivals = final_rivals(ctx) if asked.final else []
        graded = await _aside(lambda: grade(ctx.artifacts, asked, answers, rivals, seed))
        if graded is not None:
            await ctx.vault.record(graded)
    return public


def final_rivals(ctx: Context) -> list[tuple[str, Artifact]]:
    """Submissions that the final one is compared with in the vault: the baseline's and the first accepted attempt's."""
    first = next(iter(ctx.trajectory.accepted_attempts()), None)
    found = []
    for attempt in (ctx.trajectory.baseline, first):
        if attempt and attempt.execution and (file := attempt.execution.outputs.get("submission.csv")):
            found.append((attempt.id, file))
    return found


def check_task(task: Task) -> None:
    """UsageError when the metric is unknown, does not fit the target or points the other way."""
    facts = METRICS.get(task.metric.name)
    if facts is None:
        raise UsageError(f"task {task.name!r} asks for metric {task.metric.name!r}; known are {', '.join(METRICS)}")
    if task.kind not in facts.kinds:
        fits = ", ".join(name for name, f in METRICS.items() if task.kind in f.kinds)
        raise UsageError(f"metric {facts.name} does not fit the {task.kind} task {task.name!r}; these do: {fits}")
    if facts.greater_is_better != task.metric.greater_is_better:
        which = "greater" if facts.greater_is_better else "smaller"
        raise UsageError(f"task {task.name!r} says the wrong direction for {facts.name}: {which} is better")
    wanted = {"binary": 2, "multiclass": 3}.get(task.kind, 0)
    if task.kind != "regression" and (len(task.classes) < wanted or (task.kind == "binary" and len(task.classes) != 2)):
        raise UsageError(f"task {task.name!r} is {task.kind} but lists {len(task.classes)} classes")


def profile_data(store: Artifacts, asked: ProfileRequested) -> DataProfiled:
    """Deal the folds, write the sample submission and profile both tables."""
    import numpy as np

    from gome.plugins.scorer.metrics.folds import folds_csv, make_folds, sample_csv
    from gome.plugins.scorer.metrics.profile import profile_of
    from gome.plugins.scorer.metrics.tables import TableError, frame_of, training_target

    task = asked.task
    try:
        train, test = frame_of(store, task.train), frame_of(store, task.test)
    except TableError as error:
        raise UsageError(f"a table of task {task.name!r} cannot be read: {error}") from error
    for name, table, wanted in (("train.csv", train, (task.id, task.target)), ("test.csv", test, (task.id,))):
        if lost := [c for c in wanted if c not in table.columns]:
            raise UsageError(f"{name} of task {task.name!r} lacks the column {lost[0]!r}")
        if table[task.id].duplicated().any():
            raise UsageError(f"{name} of task {task.name!r} repeats ids in {task.id!r}; give every row its own")
    target = training_target(store, task)
    if (unknown := int((~np.isfinite(target)).sum())) > 0:
        what = "are no numbers"
        if task.kind != "regression":
            what = f"are none of the classes {', '.join(task.classes[:5])}"
        raise UsageError(f"{unknown} targets of task {task.name!r} {what}; drop or repair those rows")
    least = METRICS[task.metric.name].minimum
    if least is not None and float(target.min()) < least:
        raise UsageError(
            f"{task.metric.name} needs targets of at least {least:g}; {task.target!r} goes down to {target.min():g}"
        )
    made = make_folds(task, train, folds=asked.folds, partitions=asked.partitions, seed=asked.seed)
    profile, findings = profile_of(task, train, test, asked.seed)
    folds, sample = folds_csv(task, train, made), sample_csv(task, train, test)
    return DataProfiled(
        folds=Artifact(store.put(folds), len(folds), "folds.csv", "text/csv"),
        sample=Artifact(store.put(sample), len(sample), "sample_submission.csv", "text/csv"),
        fold_count=made.fold_count,
        partitions=asked.partitions,
        profile=profile,
        findings=(*made.findings, *findings, *task.findings),
    )
