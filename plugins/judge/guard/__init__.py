"""The judge `guard`: accepts by paired difference against noise, asks again when undecided, audits the too good.

`rule.py` is the arithmetic, `state.py` the fold, `decide.py` the verdicts. It performs nothing. The settings table is
`[guard]`; `enabled = false` leaves acceptance to the reasoner's opinion.
"""

from __future__ import annotations

from gome.events import (
    AttemptAccepted,
    AttemptRejected,
    CodeRejected,
    CodeWritten,
    DataProfiled,
    EffectCancelled,
    EffectFailed,
    ExecutionFinished,
    ExecutionRefused,
    ExecutionRequested,
    FeedbackGiven,
    FoldMasked,
    MaskRequested,
    ProposalFailed,
    RoleHandedOver,
    RunForked,
    RunStarted,
    ScoreRequested,
    SelectionStarted,
    StepPlanned,
    SubmissionRejected,
    SubmissionScored,
)
from gome.kernel.plugin import Plugin
from gome.plugins.judge.guard.decide import decide
from gome.plugins.judge.guard.state import Guarding, GuardSettings, evolve

plugin = Plugin(
    name="guard",
    role="judge",
    summary="accepts what is better beyond noise; repeats what is undecided, audits what is too good",
    reads=(
        RunStarted,
        RunForked,
        RoleHandedOver,
        DataProfiled,
        StepPlanned,
        ProposalFailed,
        CodeWritten,
        CodeRejected,
        ExecutionRequested,
        ExecutionRefused,
        ExecutionFinished,
        ScoreRequested,
        SubmissionScored,
        SubmissionRejected,
        MaskRequested,
        FoldMasked,
        FeedbackGiven,
        AttemptAccepted,
        AttemptRejected,
        EffectFailed,
        EffectCancelled,
        SelectionStarted,
    ),
    answers=(
        RunForked,
        ProposalFailed,
        CodeRejected,
        ExecutionRefused,
        ExecutionFinished,
        SubmissionScored,
        SubmissionRejected,
        FoldMasked,
        FeedbackGiven,
        EffectFailed,
        EffectCancelled,
        SelectionStarted,
    ),
    initial=Guarding,
    evolve=evolve,
    decide=decide,
    settings=GuardSettings,
    default=True,
    modules=("gome.plugins.judge.guard",),
)
