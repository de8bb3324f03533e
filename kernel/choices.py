"""What each rule of final selection would have handed in, and what the choice cost: a pure reading of a finished run.

The loss of a choice is how far its hidden score lies behind the best hidden score of any valid attempt, in units of the
metric, positive worse. It can be negative for what was handed in when that is a mean of reruns. Nothing here enters a
decision: hidden grades are read when the run is over, for the report only.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from msgspec import Struct

from gome.events import BASELINE, Attempt, SubmissionGraded, Trajectory

FINAL = "final"
"""Name under which the vault keeps the grade of what was handed in."""


class Choice(Struct, frozen=True):
    """What a rule picks: the attempt, its validation score, and, where hidden answers exist, its hidden score and loss.
    `rule` is `handed in`, `best validation`, `last accepted` or `re-split`."""

    rule: str
    attempt: str
    score: float | None
    hidden: float | None = None
    loss: float | None = None


def choices(t: Trajectory, grades: Mapping[str, SubmissionGraded]) -> tuple[Choice, ...]:
    """What was handed in, then what other rules would have; empty while nothing has been."""
    if t.selected is None:
        return ()
    failed = {c.attempt for c in t.selected.candidates if c.audited.startswith("failed")}
    accepted = [a for a in t.accepted_attempts() if a.score is not None and a.id not in failed]
    best = best_hidden(t, grades)
    found = [_choice(t, "handed in", t.selected.attempt, t.selected.score, grades.get(FINAL), best)]
    picks = {
        "best validation": max(accepted, key=lambda a: (t.gain(a.score or 0.0, 0.0), -a.number), default=None),
        "last accepted": max(accepted, key=lambda a: (a.ended_at, a.number), default=None),
        "re-split": _resplit(t, accepted),
    }
    for rule, attempt in picks.items():
        if attempt is not None:
            found.append(_choice(t, rule, attempt.id, attempt.score, grades.get(attempt.id), best))
    return tuple(found)


def _choice(
    t: Trajectory, rule: str, attempt: str, score: float | None, grade: SubmissionGraded | None, best: float | None
) -> Choice:
    if grade is None or best is None:
        return Choice(rule, attempt, score)
    return Choice(rule, attempt, score, grade.score, t.gain(best, grade.score))


def best_hidden(t: Trajectory, grades: Mapping[str, SubmissionGraded]) -> float | None:
    """The best hidden score that some attempt's own submission has, of those that are numbers; the baseline counts
    where it was handed in."""
    chosen = (BASELINE,) if t.selected and t.selected.attempt == BASELINE else ()
    known = [grades[name].score for name in (*t.attempts, *chosen) if name in grades]
    return max(filter(math.isfinite, known), key=lambda score: t.gain(score, 0.0), default=None)


def _resplit(t: Trajectory, accepted: list[Attempt]) -> Attempt | None:
    """The candidate that was best on the first fresh partition on which several of them ran; None without one."""
    there: dict[int, dict[str, float]] = {}
    for attempt in accepted:
        for scored in attempt.repeats:
            if scored.purpose == "rerun":
                there.setdefault(scored.partition, {}).setdefault(attempt.id, scored.score)
    shared = [scores for _, scores in sorted(there.items()) if len(scores) > 1]
    if not shared:
        return None
    return t.attempts[max(shared[0], key=lambda name: (t.gain(shared[0][name], 0.0), -t.attempts[name].number))]
