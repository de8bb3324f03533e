"""The scorer `metrics`: owns the folds, checks submissions, recomputes every score, audits, and grades into the vault.

`decide.py` says what is scored against what; `perform.py` does it with numpy, pandas and LightGBM, which are imported
on first use. The settings table is `[metrics]`: `folds`, `partitions`.
"""

from __future__ import annotations

from gome.events import (
    AttemptAccepted,
    DataProfiled,
    Event,
    ExecutionFinished,
    MaskRequested,
    Payload,
    ProfileRequested,
    RunForked,
    RunStarted,
    ScoreRequested,
    StepPlanned,
    SubmissionRejected,
    SubmissionScored,
    SubmissionSelected,
)
from gome.kernel.plugin import Context, Effect, Plugin
from gome.plugins.scorer.metrics.decide import MetricsSettings, Scoring, decide, evolve


async def _perform(event: Event, ctx: Context) -> Payload:
    from gome.plugins.scorer.metrics.perform import perform

    return await perform(event, ctx)


plugin = Plugin(
    name="metrics",
    role="scorer",
    summary="folds, submission contract, scores recomputed from out-of-fold predictions, masked-fold audit",
    reads=(
        RunStarted,
        RunForked,
        ProfileRequested,
        DataProfiled,
        StepPlanned,
        ExecutionFinished,
        ScoreRequested,
        SubmissionScored,
        SubmissionRejected,
        AttemptAccepted,
        SubmissionSelected,
    ),
    answers=(RunStarted, RunForked, ExecutionFinished, SubmissionSelected),
    initial=Scoring,
    evolve=evolve,
    decide=decide,
    effects=(
        Effect(ProfileRequested, policy="repeatable"),
        Effect(MaskRequested, policy="repeatable"),
        Effect(ScoreRequested, policy="repeatable"),
    ),
    perform=_perform,
    settings=MetricsSettings,
    default=True,
    modules=("gome.plugins.scorer.metrics",),
)
