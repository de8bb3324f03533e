"""What is known of fitted members: the diagnostics of executions, read into `MemberFacts`.

An imported program writes other diagnostics, and any number may be missing, so everything is read here once, with a
default; nothing else in this package touches what an execution says about its members.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from gome.events import Attempt
from gome.events.pipeline import family
from gome.plugins.reasoner.playbook.pipelines import Spec, key_of, pipeline_of


@dataclass(frozen=True)
class MemberFacts:
    """A member that has been fitted: its specification, how good it was alone, what it cost, what it says of itself.

    `score` is its own validation score (None: unknown), `seconds` of fitting all folds, `iterations` the best rounds
    per fold, `cap` the rounds allowed, `train` the training score, `weight` its share in the blend it was part of.
    """

    spec: Spec
    key: str
    family: str
    attempt: str
    trace: int
    score: float | None = None
    seconds: float | None = None
    train: float | None = None
    iterations: tuple[float, ...] = ()
    cap: float = 0.0
    weight: float = 1.0
    importance: tuple[tuple[str, float], ...] = ()
    bag: int = 1


def number(value: Any, default: float | None = None) -> float | None:
    """Return a finite float, or the default for anything else."""
    if isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value):
        return float(value)
    return default


def numbers(value: Any) -> tuple[float, ...]:
    """Return the finite numbers of a list (or the values of a table), empty for anything else."""
    if isinstance(value, dict):
        value = list(value.values())
    if not isinstance(value, (list, tuple)):
        return ()
    return tuple(v for v in (number(x) for x in value) if v is not None)


def _entries(diagnostics: dict[str, Any]) -> list[dict[str, Any]]:
    found = diagnostics.get("members")
    if isinstance(found, dict):
        return [{"key": k, **v} for k, v in found.items() if isinstance(v, dict)]
    return [m for m in found if isinstance(m, dict)] if isinstance(found, list) else []


def _importance(entry: dict[str, Any]) -> tuple[tuple[str, float], ...]:
    found = entry.get("importance")
    if isinstance(found, dict):
        pairs: Iterable[tuple[Any, Any]] = found.items()
    elif isinstance(found, list):
        pairs = [(p[0], p[1]) for p in found if isinstance(p, (list, tuple)) and len(p) == 2]
    else:
        return ()
    clean = [(str(k), v) for k, v in ((k, number(v)) for k, v in pairs) if v is not None]
    return tuple(sorted(clean, key=lambda p: (-p[1], p[0]))[:40])


def _blend_weights(diagnostics: dict[str, Any], keys: list[str]) -> list[float]:
    """Absolute weights that sum to one, in the order of the members; equal ones where nothing is said."""
    blend = diagnostics.get("blend")
    weights = blend.get("weights") if isinstance(blend, dict) else diagnostics.get("weights")
    found = [abs(number(weights.get(k), 0.0) or 0.0) for k in keys] if isinstance(weights, dict) else None
    if found is None:
        found = [abs(w) for w in numbers(weights)]
    total = sum(found)
    if len(found) != len(keys) or total <= 0:
        return [1.0 / len(keys)] * len(keys)
    return [w / total for w in found]


def _mean(value: Any) -> float | None:
    """The mean of a list, or the number itself."""
    found = numbers(value)
    return sum(found) / len(found) if found else number(value)


def _seconds(entry: dict[str, Any]) -> float | None:
    """Seconds of fitting all folds; a program says them per fold or in all, also for a member it has read back."""
    per_fold = numbers(entry.get("seconds"))
    if per_fold:
        return sum(per_fold)
    return None if entry.get("cached") else number(entry.get("seconds"))


def members_of(attempt: Attempt) -> tuple[MemberFacts, ...]:
    """Return the members of an attempt's pipeline with what its execution says about each."""
    found = pipeline_of(attempt)
    if found is None:
        return ()
    pipeline = found.pipeline
    diagnostics = attempt.diagnostics
    keys = [key_of(m) for m in pipeline.members]
    entries = {str(e.get("key", "")): e for e in _entries(diagnostics)}
    ordered = _entries(diagnostics)
    weights = _blend_weights(diagnostics, keys)
    alone = len(keys) == 1
    result = []
    for i, (member, key) in enumerate(zip(pipeline.members, keys, strict=True)):
        entry = entries.get(key) or (ordered[i] if len(ordered) == len(keys) else {})
        score = number(entry.get("score"), attempt.score if alone else None)
        took = _seconds(entry)
        if took is None and alone and attempt.execution and not entry.get("cached"):
            took = attempt.execution.seconds or None
        result.append(
            MemberFacts(
                spec=found.members[i],
                key=key,
                family=family(member),
                attempt=attempt.id,
                trace=attempt.trace,
                score=score,
                seconds=took,
                train=number(entry.get("train_score"), _mean(entry.get("train_scores"))),
                iterations=numbers(entry.get("best_iterations")),
                cap=number(entry.get("rounds")) or 0.0,
                weight=weights[i],
                importance=_importance(entry),
                bag=member.bag,
            )
        )
    return tuple(result)


def library_of(attempts: Iterable[Attempt], greater_is_better: bool) -> tuple[MemberFacts, ...]:
    """Return every member that a scored attempt fitted, once per key, best score first; those without a score last."""
    found: dict[str, MemberFacts] = {}
    for attempt in attempts:
        if attempt.scored is None:
            continue
        for member in members_of(attempt):
            old = found.get(member.key)
            if old is None or (old.score is None and member.score is not None) or old.seconds is None:
                merged = member if old is None or member.seconds is not None else old
                found[member.key] = merged
    sign = -1.0 if greater_is_better else 1.0
    return tuple(sorted(found.values(), key=lambda m: (m.score is None, sign * (m.score or 0.0), m.key)))


def completed(members: tuple[MemberFacts, ...], library: tuple[MemberFacts, ...]) -> tuple[MemberFacts, ...]:
    """Fill in what an execution that only read a member's predictions could not say, from the one that fitted it."""
    fitted = {m.key: m for m in library}
    return tuple(
        replace(fitted[m.key], weight=m.weight, score=m.score if m.score is not None else fitted[m.key].score)
        if m.key in fitted
        else m
        for m in members
    )
