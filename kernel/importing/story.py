"""One iteration of a recorded run as events, and the competition as a task: pure, from parsed fields to payloads.

What the source says in words of its own is mapped where the meaning is the same, and left out where it is not: a gain
is the difference of two validation scores, a verdict the recorded decision; nobody measured noise.
"""

from __future__ import annotations

import json
import re
from typing import Any, NamedTuple

from gome.events import (
    IMPORTED,
    Artifact,
    AttemptAccepted,
    AttemptRejected,
    Budget,
    Challenge,
    CodeWritten,
    ExecutionFinished,
    FeedbackGiven,
    Hypothesis,
    HypothesisProposed,
    LoopImported,
    Metric,
    Payload,
    ReportImported,
    RunStarted,
    StepPlanned,
    SubmissionGraded,
    SubmissionScored,
    Task,
    TaskKind,
    Text,
    digest_of,
)
from gome.kernel.importing.fields import (
    Loop,
    clip,
    component_of,
    decision_of,
    number_of,
    score_of,
    statement_of,
    words,
    yes_or_no,
)
from gome.kernel.importing.forest import Place

RECORDED = "as recorded"
"""The rule of a verdict that the source recorded."""
NOTHING = Artifact(digest_of(b""), 0, "nothing.csv", "text/csv")
"""Stands for the tables that a recorded run does not bring along."""
_CLASSES = re.compile(r"log.?loss|logarithmic|accura|auc|roc|f1|f-?score|f-?beta|kappa|precision|dice|iou|match", re.I)
_BINARY = re.compile(r"auc|roc|binary", re.I)


class Told(NamedTuple):
    """An iteration as events. `accepted` is the recorded verdict, `failed` says that it came to no score."""

    payloads: list[Payload]
    accepted: bool
    failed: bool
    score: float | None


def started(competition: str, trace: str, scenario: Any) -> RunStarted:
    """The first event. The kind of target is a guess from the metric's name: no decision depends on it."""
    facts = scenario if isinstance(scenario, dict) else {}
    name = words(facts.get("metric_name"), 200) or "unknown"
    kind: TaskKind = "regression"
    if _CLASSES.search(name):
        kind = "binary" if _BINARY.search(name) else "multiclass"
    return RunStarted(
        task=Task(
            name=competition,
            kind=kind,
            metric=Metric(name, yes_or_no(facts.get("metric_direction")) or False),
            target="",
            id="",
            columns=(),
            train=NOTHING,
            test=NOTHING,
            rows_train=0,
            rows_test=0,
            description=words(facts.get("background"), 20_000),
            source=f"{trace}: {competition}, recorded elsewhere",
        ),
        seed=0,
        budget=Budget(),
        traces=1,
        capacity=1,
        profile=IMPORTED,
        settings={"import": {"trace": trace, "competition": competition}},
    )


def tell(loop: Loop, place: Place, base: str, metric: Metric, parent_score: float | None) -> Told:
    """The events of an iteration, in the order of a step. `base` is the attempt whose program its base code is."""
    hypothesis, feedback = loop.values.get("final_hypothesis"), loop.values.get("feedback")
    score = score_of(loop.values.get("valid_score"), metric.name)
    decision = decision_of(feedback)
    exception = words(feedback.get("exception")) if isinstance(feedback, dict) else ""
    component = component_of(hypothesis)
    said: list[Payload] = [_planned(loop, place, component)]
    if statement := statement_of(hypothesis):
        said.append(_proposed(loop, hypothesis, statement, component))
    if loop.code:
        program = Text.of(loop.code)
        said.append(CodeWritten(loop.name, program, program.digest))
    seconds = number_of(loop.values.get("running_time"))
    if seconds is not None or score is not None:
        ok = score is not None
        said.append(ExecutionFinished(loop.name, "full", ok, 0 if ok else 1, error=exception, seconds=seconds or 0.0))
    if score is not None:
        said.append(SubmissionScored(loop.name, "full", score))
    if feedback is not None:
        said.append(_feedback(loop, feedback, decision))
    said.append(_verdict(loop, decision, score, parent_score, metric, exception))
    verbatim = "{" + ",".join(f"{_key(k)}:{v.decode()}" for k, v in loop.verbatim) + "}"
    keep = "base_code" in loop.order and loop.base_code and not base
    said.append(
        LoopImported(
            loop.name,
            loop.digest,
            place.rule,
            Text.of(verbatim),
            base,
            Text.of(loop.base_code) if keep else Text(text=""),
            loop.order,
        )
    )
    return Told(said, decision is True, score is None, score)


def _key(name: str) -> str:
    return json.dumps(name, ensure_ascii=False)


def _planned(loop: Loop, place: Place, component: str) -> StepPlanned:
    draft = not place.parent
    return StepPlanned(
        loop.name,
        place.trace,
        loop.number,
        "draft" if draft else "improve",
        "draft" if draft else "ensemble" if component == "Ensemble" else "improve",
        place.parent,
        reason=f"parent by rule: {place.rule}",
    )


def _proposed(loop: Loop, hypothesis: Any, statement: str, component: str) -> HypothesisProposed:
    facts = hypothesis if isinstance(hypothesis, dict) else {}
    problem = words(facts.get("problem_name"), 400)
    task = loop.values.get("task")
    sketch = words(task.get("description")) if isinstance(task, dict) else words(task)
    found = Hypothesis(
        statement,
        component,
        {"sketch": sketch} if sketch else {},
        words(facts.get("reason")),
        problem,
        words(facts.get("problem_label"), 60),
    )
    because = Challenge(problem, words(facts.get("problem_desc")))
    return HypothesisProposed(loop.name, found, (because,) if problem else ())


def _feedback(loop: Loop, feedback: Any, decision: bool | None) -> FeedbackGiven:
    facts = feedback if isinstance(feedback, dict) else {"observations": feedback}
    return FeedbackGiven(
        loop.name,
        bool(decision),
        words(facts.get("observations")),
        words(facts.get("reason")),
        words(facts.get("hypothesis_evaluation")),
        yes_or_no(facts.get("acceptable")) is not False,
    )


def _verdict(
    loop: Loop, decision: bool | None, score: float | None, before: float | None, metric: Metric, exception: str
) -> AttemptAccepted | AttemptRejected:
    gain = 0.0
    if score is not None and before is not None:
        gain = score - before if metric.greater_is_better else before - score
    if decision:
        return AttemptAccepted(loop.name, gain, 0.0, RECORDED)
    feedback = loop.values.get("feedback")
    reason = words(feedback.get("reason"), 400) if isinstance(feedback, dict) else ""
    if decision is None:
        reason = reason or "the source records no decision"
    return AttemptRejected(
        loop.name, clip(exception or reason, 400), gain, 0.0, RECORDED, "" if score is not None else "no score"
    )


def graded(loop: Loop) -> list[Payload]:
    """What an iteration says about hidden answers, for the vault."""
    if not loop.hidden:
        return []
    report = loop.values.get("test_report")
    facts = report if isinstance(report, dict) else {}
    won = [name for name in ("gold", "silver", "bronze") if yes_or_no(facts.get(f"{name}_medal"))]
    known = any(
        yes_or_no(facts.get(n)) is not None for n in ("any_medal", "gold_medal", "silver_medal", "bronze_medal")
    )
    medal = won[0] if won else ("medal" if yes_or_no(facts.get("any_medal")) else "") if known else None
    score = number_of(facts.get("score"))
    fields = "{" + ",".join(f"{_key(k)}:{v.decode()}" for k, v in loop.hidden) + "}"
    said: list[Payload] = [
        ReportImported(
            loop.name,
            Text.of(fields),
            score,
            medal,
            yes_or_no(facts.get("above_median")),
            yes_or_no(facts.get("valid_submission")),
        )
    ]
    if score is not None:
        said.append(SubmissionGraded(loop.name, score))
    return said
