"""MLEvolve's retrieval memory: which attempts take part, as what, and how many of them a step is told. Pure.

It keeps whatever has a score, labelled by what came of it: a first draft, a repair that worked and what beat its parent
are successes, what fell behind its parent is a failure, a draw is neither. An improvement is told of the two successes
and the two failures that are most like its idea, a repair of the two repairs of errors that are most like its own. A
judge's verdict does not matter, nor do other tasks. "Most like" is by two rankings fused (see `fusion`). Which scopes
have such a memory is the table here; what a step of any other scope is told goes by the interaction kernel.

The decider asks, the recall performs. Source: MLEvolve at `7d8403c`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple

from gome.events import Attempt, RecallRequested, Trajectory
from gome.events.scope import Reach

FLAG = "retrieval"
"""The behaviour flag of deciders that ask this memory (see `Plugin.flags`): earlier ones asked the kernel's."""
BACK = 1000
"""Attempts that are looked at, latest first."""
ERROR = 600
"""Characters of an error that are compared."""


class Wanted(NamedTuple):
    """How many successes, failures and repairs a step is told at most."""

    successes: int = 0
    failures: int = 0
    repairs: int = 0


WANTED = {"mlevolve.improve": Wanted(successes=2, failures=2), "mlevolve.debug": Wanted(repairs=2)}
"""By the scope of a step."""


@dataclass(frozen=True)
class Record:
    """A scored attempt. `label` is 1, 0 or −1, `gain` its gain over its parent in metric units (0 without a scored
    parent), `error` what was wrong with the parent that it repaired."""

    attempt: Attempt
    label: int
    gain: float = 0.0
    error: str = ""

    @property
    def idea(self) -> str:
        """What its plan says."""
        plan = self.attempt.hypothesis
        return " ".join(filter(None, (plan.component, plan.move, plan.problem, plan.statement))) if plan else ""


class Group(NamedTuple):
    """Records that are ranked together, the text that each is compared by, and how many of them are told."""

    records: Sequence[Record]
    texts: Sequence[str]
    most: int


def named(digest: str) -> str:
    """How a question names this memory, whose content is that of the success memory of a digest."""
    return f"{FLAG}:{digest}"


def wanted_by(asked: RecallRequested, trajectory: Trajectory) -> Wanted | None:
    """What is wanted of this memory; None where a question is for the kernel's. A reasoner that asks about ideas of its
    own need not know which memory its step has."""
    if not asked.queries and not asked.memory.startswith(named("")):
        return None
    step = trajectory.attempts.get(asked.attempt)
    return WANTED.get(step.context) if step else None


def error(failure: str, reason: str) -> str:
    """An error as it is compared: its class and its message."""
    return f"{failure} {reason}".strip()[:ERROR]


def questions(asked: RecallRequested, trajectory: Trajectory, wanted: Wanted) -> list[str]:
    """What the records are compared with: ideas, or the error of the parent that is to be repaired."""
    step = trajectory.attempts[asked.attempt]
    if wanted.repairs and (parent := trajectory.attempts.get(step.parent)):
        return [error(parent.failure, parent.reason) or asked.query]
    return list(asked.queries or (asked.query,))


def groups(trajectory: Trajectory, wanted: Wanted, reach: Reach, trace: int) -> list[Group]:
    """The groups that a step's question is put to, without empty ones; of its own trace where memory reaches no
    further."""
    known = [r for r in records(trajectory) if reach == "shared" or r.attempt.trace == trace]
    good = [r for r in known if r.label > 0]
    bad = [r for r in known if r.label < 0]
    repairs = [r for r in known if r.error]
    found = [
        Group(good, [r.idea for r in good], wanted.successes),
        Group(bad, [r.idea for r in bad], wanted.failures),
        Group(repairs, [r.error for r in repairs], wanted.repairs),
    ]
    return [group for group in found if group.records and group.most]


def records(trajectory: Trajectory) -> list[Record]:
    """The records of a run, in planning order."""
    latest = islice(trajectory.attempts, max(0, len(trajectory.attempts) - BACK), None)
    attempts = (trajectory.attempts[name] for name in latest)
    return [_record(a, trajectory) for a in attempts if a.scored and a.accepted is not None and not a.failure]


def _record(attempt: Attempt, trajectory: Trajectory) -> Record:
    parent = trajectory.attempts.get(attempt.parent)
    if parent is None:
        return Record(attempt, 1)
    if parent.score is None or parent.failure:
        return Record(attempt, 1, error=error(parent.failure, parent.reason))
    assert attempt.score is not None
    gain = trajectory.gain(attempt.score, parent.score)
    return Record(attempt, (gain > 0) - (gain < 0), gain)
