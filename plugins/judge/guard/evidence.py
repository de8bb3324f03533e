"""What an attempt is compared with, and what is known of the difference: pure readings of the guard's fold.

`decide.py` turns the evidence into verdicts; the arithmetic is `rule.py`'s.
"""

from __future__ import annotations

import math

from gome.events import BASELINE, Comparison, SubmissionScored
from gome.plugins.judge.guard.rule import Evidence, variance, weigh
from gome.plugins.judge.guard.state import Guarding, Record


def reference_of(state: Guarding, record: Record) -> Record | None:
    """The solution that an attempt has to beat: its parent, or, where that has no score or was refused as no different
    beyond noise, the nearest ancestor of which neither is true. So small gains in a row are judged by their sum. None
    for drafts and where nothing valid came before."""
    name = record.planned.parent
    while name and (found := state.records.get(name)):
        if found.scored and not found.tied:
            return found
        name = found.planned.parent
    return None


def evidence_of(state: Guarding, record: Record, reference: Record | None) -> Evidence | None:
    """The full execution against the reference's; for a first solution against the baseline, None without one."""
    assert record.scored is not None
    if reference is None:
        found = _compared(record.scored, BASELINE)
        return weigh(found.difference, found.row_se, seed_variance(state, found.row_se)) if found else None
    assert reference.scored is not None
    return paired(state, record.scored, reference.scored)


def paired(state: Guarding, new: SubmissionScored, old: SubmissionScored) -> Evidence:
    """Two scores of one partition. Whichever was scored later holds the pairing; without one the difference is as
    unsure as two strangers' scores are."""
    if found := _compared(new, old.attempt):
        return weigh(found.difference, found.row_se, seed_variance(state, found.row_se))
    if found := _compared(old, new.attempt):
        return weigh(-found.difference, found.row_se, seed_variance(state, found.row_se))
    row_se = math.sqrt(new.se * new.se + old.se * old.se)
    return weigh(state.gain(new.score, old.score), row_se, seed_variance(state, row_se))


def _compared(scored: SubmissionScored, attempt: str) -> Comparison | None:
    return next((c for c in scored.comparisons if c.attempt == attempt), None)


def seed_variance(state: Guarding, row_se: float) -> float:
    """Measured once the seeds of a first solution have ended, assumed until then. A solution that comes out the same
    with every seed (a linear model) says nothing about others, so then the assumption stands."""
    measured = measured_variance(state)
    if measured:
        return measured
    assumed = state.settings.seed_prior * row_se
    return assumed * assumed


def measured_variance(state: Guarding) -> float | None:
    """Variance over seeds of the solution that was run with several, None while they have not all ended."""
    sides = [side for side in state.seed_sides if side.attempt == state.seeded]
    if not sides or any(side not in state.results for side in sides):
        return None
    scores = [r.score for s in sides if isinstance(r := state.results.get(s), SubmissionScored)]
    first = state.records[state.seeded].scored if state.seeded in state.records else None
    return variance([first.score, *scores]) if scores and first else None


def repeat_of(state: Guarding, record: Record, reference: Record) -> Evidence | None:
    """The comparison on the next partition, if both sides have come through it."""
    for side in record.waits:
        if side.purpose == "repeat":
            new = state.results.get(side)
            old = state.results.get(side._replace(attempt=reference.planned.attempt))
            if isinstance(new, SubmissionScored) and isinstance(old, SubmissionScored):
                return paired(state, new, old)
    return None


def score_of(record: Record) -> float:
    """Validation score, 0 without one."""
    return record.scored.score if record.scored else 0.0


def trusted_score(record: Record) -> bool:
    """Whether the reasoner trusts the attempt's score."""
    return record.feedback is not None and record.feedback.aligned


def cheaper_than(state: Guarding, record: Record, reference: Record) -> str:
    """The reason why an attempt is cheaper, or "". Costs compare where the mutator estimated both, or where neither
    execution was spared members."""
    if record.estimate > 0 and reference.estimate > 0:
        new, old = record.estimate, reference.estimate
    elif record.cached or reference.cached:
        return ""
    elif record.cpu_seconds > 0 and reference.cpu_seconds > 0:
        new, old = record.cpu_seconds, reference.cpu_seconds
    else:
        new, old = record.seconds, reference.seconds
    return f"cheaper ({new:.3g} s instead of {old:.3g} s)" if 0 < new <= state.settings.cheaper * old else ""
