"""The selection `reruns`: runs the best accepted programs again with other seeds and folds and hands in their mean.

`state.py` is the fold, `ranking.py` the arithmetic, `decide.py` the decisions, `average.py` (pandas) the one effect.
The settings table is `[reruns]`; its `policy` chooses `reruns`, `resplit`, `best_validation`,
`last_accepted`, `opinion` or `ensemble` (`ensemble.py`, whose programs end in what `blend.py` does).
"""

from __future__ import annotations

from gome.events import (
    AlarmRang,
    AttemptAccepted,
    AttemptRejected,
    BudgetExhausted,
    CodeWritten,
    DataProfiled,
    EffectCancelled,
    EffectFailed,
    Event,
    ExecutionFinished,
    ExecutionRequested,
    FoldMasked,
    MaskRequested,
    OpinionGiven,
    OpinionRequested,
    Payload,
    RunForked,
    RunStarted,
    ScoreRequested,
    SelectionFailed,
    SelectionStarted,
    StepPlanned,
    StopRequested,
    SubmissionRejected,
    SubmissionScored,
    SubmissionSelected,
)
from gome.kernel.plugin import Context, Effect, Plugin
from gome.plugins.selection.reruns.decide import decide
from gome.plugins.selection.reruns.events import (
    AverageRequested,
    EnsembleRequested,
    SelectionPlanned,
    SubmissionAveraged,
)
from gome.plugins.selection.reruns.state import BASELINES, RerunsSettings, Selecting, evolve


async def _perform(event: Event, ctx: Context) -> Payload:
    from anyio import to_thread

    from gome.plugins.selection.reruns.average import average, joined

    if isinstance(event.payload, EnsembleRequested):
        return await to_thread.run_sync(joined, ctx.artifacts, event.payload)
    if not isinstance(event.payload, AverageRequested):
        raise TypeError(f"the selection does not perform {event.type}")
    return await to_thread.run_sync(average, ctx.artifacts, event.payload)


plugin = Plugin(
    name="reruns",
    role="selection",
    summary="best programs rerun with other seeds and folds, audited, averaged",
    reads=(
        RunStarted,
        RunForked,
        DataProfiled,
        StepPlanned,
        CodeWritten,
        ExecutionRequested,
        ExecutionFinished,
        ScoreRequested,
        SubmissionScored,
        SubmissionRejected,
        MaskRequested,
        FoldMasked,
        AttemptAccepted,
        AttemptRejected,
        EffectFailed,
        EffectCancelled,
        StopRequested,
        BudgetExhausted,
        AlarmRang,
        OpinionRequested,
        OpinionGiven,
        SelectionStarted,
        SelectionPlanned,
        AverageRequested,
        EnsembleRequested,
        SubmissionAveraged,
        SubmissionSelected,
        SelectionFailed,
    ),
    answers=(
        RunForked,
        ExecutionFinished,
        SubmissionScored,
        SubmissionRejected,
        FoldMasked,
        AttemptAccepted,
        AttemptRejected,
        EffectFailed,
        EffectCancelled,
        StopRequested,
        BudgetExhausted,
        AlarmRang,
        OpinionGiven,
        SelectionStarted,
        SubmissionAveraged,
    ),
    initial=Selecting,
    evolve=evolve,
    decide=decide,
    effects=(Effect(AverageRequested, policy="repeatable"), Effect(EnsembleRequested, policy="repeatable")),
    perform=_perform,
    emits=(SelectionPlanned, AverageRequested, EnsembleRequested, SubmissionAveraged),
    settings=RerunsSettings,
    default=True,
    modules=("gome.plugins.selection.reruns",),
    flags=(BASELINES,),
)
