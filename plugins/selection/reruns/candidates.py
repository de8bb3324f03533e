"""Who may be handed in, with which reruns, in which order: pure readings of the fold of final selection."""

from __future__ import annotations

import ast
import math
from collections.abc import Sequence

from gome.events import SubmissionScored, with_seeds
from gome.plugins.selection.reruns.ranking import Ranked, rank
from gome.plugins.selection.reruns.state import Entry, Selecting


def candidates_of(state: Selecting) -> list[Entry]:
    """Accepted attempts with a valid submission that failed no audit, best validation score first, programs once.

    A baseline that validates better than all of them stands before them: whatever was accepted is no improvement then.
    Only policies that run candidates again take it: the others are of accepted attempts by their published meaning."""
    found: dict[str, Entry] = {}
    for entry in state.entries.values():
        if entry.accepted and _stands(entry):
            found.setdefault(entry.digest, entry)
    standing = sorted(found.values(), key=lambda e: (-_score(state, e), e.order, e.cost))
    baseline = state.baseline if state.baselines and state.settings.again else None
    if standing and baseline and _stands(baseline) and _score(state, baseline) > _score(state, standing[0]):
        return [baseline, *standing]
    return standing


def _stands(entry: Entry) -> bool:
    return entry.scored is not None and complete(entry.scored) and entry.audit in ("", "passed")


def _score(state: Selecting, entry: Entry) -> float:
    """The validation score of a scored attempt, greater is better."""
    assert entry.scored is not None
    return state.gain(entry.scored.score, 0.0)


def complete(scored: SubmissionScored) -> bool:
    """Whether a score names both of its files."""
    return "submission.csv" in scored.outputs and "oof.csv" in scored.outputs


def runs_of(state: Selecting, attempt: str) -> list[SubmissionScored]:
    """An attempt's reruns that came to a valid score, in run order."""
    return [
        outcome
        for (name, _, _), outcome in state.runs.items()
        if name == attempt and isinstance(outcome, SubmissionScored) and complete(outcome)
    ]


def ranked(state: Selecting) -> list[Ranked]:
    """Candidates that were rerun and failed no audit, the winner first; empty when there are none."""
    assert state.plan is not None
    standing = [e for e in candidates_of(state) if e.attempt in state.plan.candidates and runs_of(state, e.attempt)]
    if not standing:
        return []
    leader = standing[0].attempt
    gains = {e.attempt: {r.partition: state.gain(r.score, 0.0) for r in runs_of(state, e.attempt)} for e in standing}
    # Older before newer, cheaper before dearer, where the ranks are equal.
    gains = {e.attempt: gains[e.attempt] for e in sorted(standing, key=lambda e: (e.order, e.cost))}
    fallback = {e.attempt: _row_se(state, e.attempt, leader) for e in standing}
    if state.settings.policy == "resplit":
        return rank(leader, gains, fallback_se={}, penalty=0.0)
    return rank(leader, gains, fallback_se=fallback, penalty=state.settings.penalty)


def _row_se(state: Selecting, attempt: str, leader: str) -> float:
    """Row-paired standard error of a single rerun's difference, from whichever side was scored later."""
    for one, other in ((attempt, leader), (leader, attempt)):
        for run in runs_of(state, one):
            for comparison in run.comparisons:
                if comparison.attempt == other:
                    return comparison.row_se
    return 0.0


def reseeded(entry: Entry, runs: Sequence[SubmissionScored]) -> str | None:
    """The program with the runs' seeds and partitions in it; None when it was not written for that."""
    assert entry.request is not None
    program = str(entry.request.program)
    try:
        return with_seeds(program, [r.seed for r in runs], [r.partition for r in runs])
    except ValueError:
        if (entry.request.trusted and not entry.is_baseline) or len(runs) > 1:
            return None
        return pinned(program, runs[0].seed, runs[0].partition)


def pinned(program: str, seed: int, partition: int) -> str:
    """A program that goes by its environment, with this seed and partition where the environment names none."""
    try:
        statements = ast.parse(program).body
    except (SyntaxError, ValueError):
        return program
    after = 0
    for number, statement in enumerate(statements):
        docstring = not number and isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
        if not docstring and not (isinstance(statement, ast.ImportFrom) and statement.module == "__future__"):
            break
        after = statement.end_lineno or 0
    lines = program.splitlines(keepends=True)
    if after and not lines[after - 1].endswith("\n"):
        lines[after - 1] += "\n"
    pins = [f'os.environ.setdefault("{n}", "{v}")\n' for n, v in (("GOME_SEED", seed), ("GOME_PARTITION", partition))]
    return "".join([*lines[:after], "import os\n\n", *pins, *lines[after:]])


def pooled(errors: Sequence[float]) -> float:
    """Root mean square of standard errors."""
    return math.sqrt(sum(e * e for e in errors) / len(errors))
