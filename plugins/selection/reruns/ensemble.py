"""MLEvolve's ensembling after the run, as a policy of final selection: the weighted mean of the best submissions. Pure.

The published code takes up to six of the best valid submissions, weighs each by its score times (how many there are −
its rank, from 0), by the inverse score where less is better, and writes the means for several sizes for a person to
pick from. Here there is one size, `reruns.candidates`, over all programs that were accepted, and what is handed in
comes with a program that runs them all and gives the same file. Where scores are no measure of merit (one is zero or
less), the ranks alone count. Off unless `reruns.policy = "ensemble"`. Source: MLEvolve at `7d8403c`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from gome.events import METRICS, Candidate, SubmissionScored, SubmissionSelected, Text
from gome.plugins.selection.reruns import blend
from gome.plugins.selection.reruns.candidates import candidates_of, pooled, reseeded
from gome.plugins.selection.reruns.events import EnsembleRequested
from gome.plugins.selection.reruns.state import Entry, Selecting

_SOURCE = Path(blend.__file__).read_text("utf-8")


def weights(scores: Sequence[float], *, greater_is_better: bool) -> tuple[float, ...]:
    """The weights of submissions with these scores, best first; they sum to one."""
    count = len(scores)
    merits = [1.0] * count if min(scores) <= 0 else [s if greater_is_better else 1.0 / s for s in scores]
    raw = [merit * (count - rank) for rank, merit in enumerate(merits)]
    return tuple(round(r / sum(raw), 12) for r in raw)


def members(state: Selecting) -> list[Entry]:
    """Whose submissions are joined, best first."""
    return [entry for entry in candidates_of(state) if entry.request][: max(1, state.settings.candidates)]


def obstacle(state: Selecting) -> str:
    """Why nothing is joined, "" where there is no reason."""
    assert state.task is not None
    facts = METRICS.get(state.task.metric.name)
    if facts is not None and not facts.averaging:
        return f"a mean makes no sense under {state.task.metric.name}"
    if len(members(state)) < 2:
        return "there is nothing to join it with"
    return "there was no time to join the best" if state.hurry else ""


def asked(state: Selecting) -> EnsembleRequested:
    """The wish to join the members' submissions."""
    assert state.task is not None
    entries = members(state)
    scored = [_scored(entry) for entry in entries]
    return EnsembleRequested(
        attempts=tuple(entry.attempt for entry in entries),
        submissions=tuple(s.outputs["submission.csv"] for s in scored),
        oofs=tuple(s.outputs["oof.csv"] for s in scored),
        weights=weights([s.score for s in scored], greater_is_better=state.task.metric.greater_is_better),
        id=state.task.id,
        columns=state.task.prediction_columns,
    )


def selected(state: Selecting, wish: EnsembleRequested, table: tuple[Candidate, ...]) -> SubmissionSelected:
    """What is handed in once they are joined. Its score is the weighted mean of the members'; its own, of the joined
    predictions, is the final score."""
    assert state.averaged is not None
    entries = [state.entries[name] for name in wish.attempts]
    scored = [_scored(entry) for entry in entries]
    shares = ", ".join(f"{name} ({w:.3f})" for name, w in zip(wish.attempts, wish.weights, strict=True))
    return SubmissionSelected(
        attempt=entries[0].attempt,
        score=round(sum(w * s.score for w, s in zip(wish.weights, scored, strict=True)), 12),
        se=pooled([s.se for s in scored]),
        submission=state.averaged.submission,
        oof=state.averaged.oof,
        program=Text.of(program(wish, [_text(entry) for entry in entries])),
        seeds=tuple(s.seed for s in scored),
        partitions=tuple(s.partition for s in scored),
        candidates=table,
        reason=f"the weighted mean of {shares}",
    )


def program(wish: EnsembleRequested, texts: Sequence[str]) -> str:
    """One program that runs the members' programs and joins what they predict."""
    quoted = "".join(f'    "{name}": {_quoted(text)},\n' for name, text in zip(wish.attempts, texts, strict=True))
    return (
        f"{_SOURCE}\n\nWEIGHTS = {list(wish.weights)!r}\nID = {wish.id!r}\nCOLUMNS = {list(wish.columns)!r}\n"
        f"PROGRAMS = {{\n{quoted}}}\n\n"
        'if __name__ == "__main__":\n    main(PROGRAMS, WEIGHTS, ID, COLUMNS)\n'
    )


def _quoted(text: str) -> str:
    """A text as a literal that a person can read."""
    inner = text.replace("\\", "\\\\").replace("\r", "\\r")
    inner = re.sub(r'"(?="|\Z)', r'\\"', inner)  # no three in a row, and none before the closing ones
    return f'"""\\\n{inner}"""'


def _text(entry: Entry) -> str:
    assert entry.request is not None
    own = reseeded(entry, [_scored(entry)])
    return own if own is not None else str(entry.request.program)


def _scored(entry: Entry) -> SubmissionScored:
    assert entry.scored is not None
    return entry.scored
