"""Reads `references.toml`: hidden scores that others reach on the tasks of the suite, as `tests/bench/references.py`
measured them. A score belongs to one set of answers, named by digest, and is told of no other."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import msgspec

from gome.kernel.tasks import Reference

FILE = Path(__file__).with_name("references.toml")


class About(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """When and with what was measured last; everything ran on `threads` threads."""

    date: str
    threads: int
    machine: str
    versions: dict[str, str]


class Measured(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Hidden scores by seed of the method, the bootstrap standard error of the first one, and the CPU seconds of all
    runs together. A search had `budget` CPU seconds a run; `best` names the learner that each run ended with, and
    `given` what was made of the table for it, "" for the table itself."""

    seeds: tuple[int, ...]
    scores: tuple[float, ...]
    se: float
    cpu_seconds: float
    budget: float | None = None
    best: tuple[str, ...] = ()
    given: str = ""


class Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What was measured on one task: the split, the digest of its answers, the metric, and each method."""

    split_seed: int
    answers: str
    metric: str
    lightgbm: Measured
    flaml: Measured | None = None


class References(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The whole file."""

    about: About
    tasks: dict[str, Entry]


@lru_cache(maxsize=1)
def load() -> References:
    """Return the shipped scores."""
    return msgspec.toml.decode(FILE.read_bytes(), type=References)


def references(task: str, answers: str) -> tuple[Reference, ...]:
    """Return the scores that were measured against these very answers (a digest); () where there are none."""
    found = load()
    entry = found.tasks.get(task)
    if entry is None or entry.answers != answers:
        return ()
    said = [Reference("lightgbm", entry.lightgbm.scores[0], entry.lightgbm.se, 1, "default LightGBM on the raw table")]
    if entry.flaml is not None:
        scores, about = entry.flaml.scores, found.about
        how = f"FLAML {about.versions['flaml']}, {entry.flaml.budget:g} CPU seconds on one thread, {len(scores)} seed"
        how += "s, mean" if len(scores) > 1 else ""
        how += f", {entry.flaml.given}" if entry.flaml.given else ""
        said.append(Reference("flaml", sum(scores) / len(scores), entry.flaml.se, len(scores), how))
    return tuple(said)
