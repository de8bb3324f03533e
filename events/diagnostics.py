"""The shape of what a program says of itself in `diagnostics.json`, as far as anybody here reads it.

Every field may be missing and others may be there; none of it is believed where a score is at stake. The runner takes
out what does not fit before it records the rest (`fitting`); reasoners read the rest with these names.
"""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Struct, field

Figure = float | None
"""A number, or null: what was not finite when it was written."""


class MemberDiagnostics(Struct, frozen=True):
    """One model of a blend. `score`, `fold_scores` and `train_score(s)` are in the task's metric; `seconds` are of
    fitting all folds, or one number per fold; `best_iterations` per fold, out of `rounds` allowed; `importance` is a
    share per column; `cached` says that its predictions were read back, not fitted."""

    key: str = ""
    family: str = ""
    score: Figure = None
    fold_scores: list[Figure] = field(default_factory=list)
    train_score: Figure = None
    train_scores: list[Figure] = field(default_factory=list)
    seconds: list[Figure] | float | None = None
    best_iterations: list[Figure] | dict[str, Figure] = field(default_factory=list)
    rounds: Figure = None
    importance: dict[str, Figure] | list[tuple[str, Figure]] = field(default_factory=dict)
    cached: bool = False


class BlendDiagnostics(Struct, frozen=True):
    """How members are combined: weights in their order or by key, and the correlation of their residuals."""

    kind: str = ""
    weights: list[Figure] | dict[str, Figure] = field(default_factory=list)
    correlation: list[list[Figure]] = field(default_factory=list)


class Diagnostics(Struct, frozen=True):
    """A program's own figures: scores in the task's metric, wall seconds, its members and blend. `debug_share` in
    (0, 1] is the share of its training that it does in debug mode."""

    metric: str = ""
    score: Figure = None
    train_score: Figure = None
    fold_scores: list[Figure] = field(default_factory=list)
    train_scores: list[Figure] = field(default_factory=list)
    fold_seconds: list[Figure] = field(default_factory=list)
    seconds: list[Figure] | float | None = None
    members: list[MemberDiagnostics] | dict[str, MemberDiagnostics] = field(default_factory=list)
    blend: BlendDiagnostics | None = None
    weights: list[Figure] | dict[str, Figure] = field(default_factory=list)
    debug_share: Figure = None


# Learnt while importing, not by two threads at once (see `pipeline.spec.read_pipeline`).
msgspec.json.Decoder(Diagnostics)
TYPES: dict[str, Any] = {found.encode_name: found.type for found in msgspec.structs.fields(Diagnostics)}


def fitting(value: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Return those entries of parsed diagnostics that have the shape of `Diagnostics` or a name of their own, as they
    are, and a remark on each of the others."""
    kept, remarks = {}, []
    for name, entry in value.items():
        if name in TYPES:
            try:
                msgspec.convert(entry, TYPES[name])
            except msgspec.ValidationError as error:
                remarks.append(f"{name}: {error}")
                continue
        kept[name] = entry
    return kept, remarks
