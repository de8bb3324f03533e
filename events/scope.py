"""What of a run the reasoner of a step is shown: the scope that `StepPlanned.context` names.

Each search shows its operators what its published form shows them; moves, programs and the reviewer's contract are the
same for all, and so is what is known of the task and its data. "Summary" is plan, score, verdict and lesson, without
program and output; a failed attempt's summary is that it failed, and how. "Whole" adds program, output, diagnostics.

| scope | other attempts, in summary | parent | further parents | memory across branches |
| --- | --- | --- | --- | --- |
| (none), gradient.* | all, whole | whole | whole | recalled |
| aide.draft | all that have a score | | | |
| aide.improve | all that have a score | program and score | | |
| aide.debug | | whole | | |
| mlmaster.draft | other drafts | | | |
| mlmaster.improve | children of its parent | whole | | |
| mlmaster.debug | | whole | | |
| aira.draft | all that have a score | | | |
| aira.improve | all that have a score | whole | | |
| aira.debug | failed ancestors | whole | | |
| aira.crossover | | program and score | program and score | |
| mlevolve.draft | other drafts | | | |
| mlevolve.improve | children of its parent, ancestors | whole | | recalled |
| mlevolve.debug | | whole | | recalled |
| mlevolve.evolution | children of its parent, ancestors | whole | | |
| mlevolve.fusion | children of its parent, ancestors | whole | program and score | |
| random.* | | whole | program and score | |

Whoever reflects on a scored attempt is shown that attempt and its parent, whole, under every scope but the gradient's.
`cut` is pure; `gome.kernel.reasoning` applies it for every reasoner. What a memory of the loop's settings takes away is
taken away first: without memory there are no other attempts, with the own trace's alone none of other traces.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from itertools import islice
from typing import Any, Literal

import msgspec
from msgspec import Struct

from gome.events.execution import ExecutionFinished
from gome.events.hypothesis import Hypothesis
from gome.events.score import SubmissionScored
from gome.events.step import Recollection
from gome.events.trajectory import Attempt, Prefix, Trajectory

Others = Literal["all", "none", "scored", "siblings", "kin", "failed line"]
"""Which other attempts are shown: `siblings` have the step's parent (drafts: none), `kin` are siblings and ancestors,
`failed line` the failed ancestors up to the nearest that has a score."""
Reach = Literal["none", "own", "shared"]
"""How far memory reaches: nowhere, over the step's own trace, over all."""
LINEAGE = 10
"""Ancestors that are shown at most."""


class Scope(Struct, frozen=True):
    """A row of the table. `parent` is what of the parent is shown, `recall` whether the success memory is asked."""

    others: Others = "none"
    parent: Literal["whole", "program"] = "whole"
    recall: bool = False


EVERYTHING = Scope(others="all", recall=True)
"""The gradient's scope, and that of steps that name none."""
_TABLE: dict[str, dict[str, Scope]] = {
    "aide": {
        "draft": Scope("scored"),
        "improve": Scope("scored", parent="program"),
        "debug": Scope(),
    },
    "mlmaster": {"draft": Scope("siblings"), "improve": Scope("siblings"), "debug": Scope()},
    "aira": {
        "draft": Scope("scored"),
        "improve": Scope("scored"),
        "debug": Scope("failed line"),
        "crossover": Scope(parent="program"),
    },
    "mlevolve": {
        "draft": Scope("siblings"),
        "improve": Scope("kin", recall=True),
        "debug": Scope(recall=True),
        "evolution": Scope("kin"),
        "fusion": Scope("kin"),
    },
}
_SAME_FOR_ALL = {"gradient": EVERYTHING, "random": Scope()}
_KINDS = ("draft", "improve", "debug", "merge", "crossover", "evolution", "fusion")
SCOPES: dict[str, Scope] = {
    "": EVERYTHING,
    **{f"{search}.{kind}": scope for search, rows in _TABLE.items() for kind, scope in rows.items()},
    **{f"{search}.{kind}": scope for search, scope in _SAME_FOR_ALL.items() for kind in _KINDS},
}
"""Every scope by its name."""


def scope_of(name: str) -> Scope:
    """Return the scope of a name; ValueError, which says what there is, for one that is not in the table."""
    if name not in SCOPES:
        known = ", ".join(sorted(n for n in SCOPES if n))
        raise ValueError(f"no scope is called {name!r}; a step's context is empty or one of {known}")
    return SCOPES[name]


def cut(
    trajectory: Trajectory, step: Attempt, *, memory: Reach = "shared", recalled: tuple[Recollection, ...] = ()
) -> Trajectory:
    """Return what of a trajectory the reasoner of `step` is shown; the trajectory itself where that is everything.

    `recalled` attempts of this run are shown in summary. ValueError for a step whose scope is not known."""
    scope = scope_of(step.context)
    if scope.others == "all":
        return trajectory
    whole = {step.id} | ({step.parent} if scope.parent == "whole" or step.scored else set())
    programs = {step.parent} if step.scored else {step.parent, *step.parents}
    summaries = set()
    if step.scored is None and memory != "none":
        own = memory == "own"
        named = {r.attempt for r in recalled}
        found = [a for a in _others(trajectory, step, scope.others) if a.trace == step.trace or not own]
        summaries = {a.id for a in found} | {n for n in named if n in trajectory.attempts}
    shown: dict[str, Attempt] = {}
    for name in sorted(whole | programs | summaries, key=lambda n: _number(trajectory, n)):
        if attempt := trajectory.attempts.get(name):
            shown[name] = attempt if name in whole else program_of(attempt) if name in programs else summary(attempt)
    view = copy.copy(trajectory)
    view.attempts = shown
    view.undecided = {name: shown[name] for name in trajectory.undecided if name in shown}
    names = {t: [n for n in ids if n in shown] for t, ids in trajectory.accepted.items()}
    view.accepted_names = {t: ids for t, ids in names.items() if ids}
    view.accepted = {t: Prefix(ids, len(ids)) for t, ids in view.accepted_names.items()}
    view.best = _best(view)
    return view


def _number(trajectory: Trajectory, name: str) -> int:
    found = trajectory.attempts.get(name)
    return found.number if found else 0


def _best(view: Trajectory) -> str:
    """The best of the accepted attempts that are shown, the first of equals."""
    best: Attempt | None = None
    for a in view.attempts.values():
        leads = best is None or best.score is None or (a.score is not None and view.gain(a.score, best.score) > 0)
        if a.accepted and a.score is not None and leads:
            best = a
    return best.id if best else ""


def _line(trajectory: Trajectory, step: Attempt) -> Iterator[Attempt]:
    """A step's ancestors, nearest first."""
    found = trajectory.attempts.get(step.parent)
    while found is not None:
        yield found
        found = trajectory.attempts.get(found.parent)


def _others(trajectory: Trajectory, step: Attempt, which: Others) -> list[Attempt]:
    """Attempts beside the step that a scope shows."""
    every = [a for a in trajectory.attempts.values() if a.id != step.id]
    if which == "scored":
        return [a for a in every if a.scored and a.accepted is not None]
    if which == "failed line":
        failed = []
        for a in _line(trajectory, step):
            if a.scored:
                break
            failed.append(a)
        return failed
    if which in ("siblings", "kin"):
        siblings = [a for a in every if a.parent == step.parent]
        return siblings + (list(islice(_line(trajectory, step), LINEAGE)) if which == "kin" else [])
    return []


def summary(attempt: Attempt) -> Attempt:
    """An attempt as its plan, score, verdict and lesson."""
    plan = attempt.hypothesis
    return Attempt(
        id=attempt.id,
        trace=attempt.trace,
        step=attempt.step,
        kind=attempt.kind,
        stage=attempt.stage,
        parent=attempt.parent,
        parents=attempt.parents,
        context=attempt.context,
        planned_at=attempt.planned_at,
        ended_at=attempt.ended_at,
        hypothesis=msgspec.structs.replace(plan, change={}, learnt_from=()) if plan else None,
        scored=_score(attempt.scored),
        feedback=attempt.feedback,
        accepted=attempt.accepted,
        gain=attempt.gain,
        rule=attempt.rule,
        failure=attempt.failure,
        seq=attempt.seq,
        number=attempt.number,
    )


def program_of(attempt: Attempt) -> Attempt:
    """An attempt's summary with its program."""
    found = summary(attempt)
    found.code, found.hypothesis = attempt.code, attempt.hypothesis
    return found


def _score(scored: SubmissionScored | None) -> SubmissionScored | None:
    return SubmissionScored(scored.attempt, scored.purpose, scored.score) if scored else None


FITTED = ("key", "family", "score", "seconds", "cached")
"""What a fitted member says of itself to whoever blends it: what it is, how good alone, what it cost."""


def material(trajectory: Trajectory, step: Attempt) -> tuple[Attempt, ...]:
    """Return every attempt as material for programs, in planning order: legal moves are the same under every scope, so
    every step may blend what was fitted before, and none may propose a program that exists. Of attempts that the step's
    scope does not show whole there is the program, its score, and what fitting it gave (`FITTED`); of a step in flight
    without a program what it is about to change."""
    scope = scope_of(step.context)
    if scope.others == "all":
        return tuple(trajectory.attempts.values())
    whole = {step.id, step.parent} if scope.parent == "whole" else {step.id}
    return tuple(a if name in whole else _material(a) for name, a in trajectory.attempts.items())


def _material(attempt: Attempt) -> Attempt:
    found = Attempt(
        id=attempt.id,
        trace=attempt.trace,
        step=attempt.step,
        kind=attempt.kind,
        parent=attempt.parent,
        parents=attempt.parents,
        code=attempt.code,
        scored=_score(attempt.scored),
        accepted=attempt.accepted,
        number=attempt.number,
    )
    if attempt.code is None and attempt.accepted is None and attempt.hypothesis:
        found.hypothesis = Hypothesis(statement="", component="", change=attempt.hypothesis.change)
    if done := attempt.execution:
        said = _fitted(done.diagnostics)
        found.executions = (
            ExecutionFinished(done.attempt, done.purpose, done.ok, seconds=done.seconds, diagnostics=said),
        )
    return found


def _fitted(diagnostics: dict[str, Any]) -> dict[str, Any]:
    """The members' `FITTED` figures, whether they stand in a list or by key, and the weights of the blend."""

    def only(entry: Any) -> Any:
        return {k: v for k, v in entry.items() if k in FITTED} if isinstance(entry, dict) else entry

    found: dict[str, Any] = {}
    members, blend = diagnostics.get("members"), diagnostics.get("blend")
    if isinstance(members, dict):
        found["members"] = {key: only(entry) for key, entry in members.items()}
    elif isinstance(members, list | tuple):
        found["members"] = [only(entry) for entry in members]
    if isinstance(blend, dict) and "weights" in blend:
        found["blend"] = {"weights": blend["weights"]}
    return found
