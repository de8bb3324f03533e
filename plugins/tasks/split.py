"""Which rows are held out and in which order rows are numbered: decided by hashes, so the same on every machine.

A row's place depends on the seed and on a key (its own text, or its number) through SHA-256, never on a random number
generator whose stream may change between versions. Keys made of a row's features make the source's order
unrecoverable from the ids. Called by all task sources; folds are the scorer's.
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Hashable, Sequence
from typing import Any

from gome.kernel.errors import UsageError


def _hash(label: str, seed: int, key: str) -> bytes:
    return hashlib.sha256(f"{label}\x1f{seed}\x1f{key}".encode()).digest()


def shuffled(keys: Sequence[str], seed: int, label: str) -> list[int]:
    """Return the indices of `keys` in an order that only the keys, seed and label determine.

    Equal keys are told apart by how often they have occurred, so that equal rows do not end up side by side.
    """
    seen: Counter[str] = Counter()
    places = []
    for index, key in enumerate(keys):
        places.append((_hash(label, seed, f"{key}\x1f{seen[key]}"), index))
        seen[key] += 1
    return [index for _, index in sorted(places)]


def stratified(keys: Sequence[str], strata: Sequence[Any], share: float, seed: int) -> list[bool]:
    """Hold out `share` of the rows, evenly over the strata in their sorted order; True = held out.

    Systematic sampling: rows are laid out by (stratum, hash) and every 1/share-th is taken, from a start that depends
    on the seed. So strata too small for a row of their own share one with their neighbours instead of never giving any.
    """
    rank = {index: place for place, index in enumerate(shuffled(keys, seed, "split"))}
    line = sorted(range(len(keys)), key=lambda index: (strata[index], rank[index]))
    start = int.from_bytes(_hash("start", seed, "")[:8], "big") / 2**64
    held = [False] * len(keys)
    for place, index in enumerate(line):
        held[index] = math.floor((place + 1) * share + start) > math.floor(place * share + start)
    return held


def by_group(groups: Sequence[Hashable], share: float, seed: int) -> list[bool]:
    """Hold out whole groups, in hash order, until at least `share` of the rows are held out; True = held out."""
    sizes = Counter(str(group) for group in groups)
    names = sorted(sizes)
    if len(names) < 5:
        raise UsageError(
            f"the group column has only {len(names)} different values; at least 5 are needed to split by it"
        )
    chosen: set[str] = set()
    rows = 0
    for index in shuffled(names, seed, "groups"):
        if rows >= share * len(groups) or len(chosen) >= len(names) - 2:
            break
        chosen.add(names[index])
        rows += sizes[names[index]]
    return [str(group) in chosen for group in groups]


def latest(times: Sequence[Any], share: float) -> list[bool]:
    """Hold out the last `share` of the rows in time, cut between two moments; True = held out.

    `times` are comparable values. The cut nearest to the share is taken, since rows of one moment stay together.
    """
    counts = Counter(times)
    moments = sorted(counts)
    if len(moments) < 2:
        raise UsageError("the time column has only one value; name another --time-column or leave it out")
    best, first, rows = math.inf, moments[-1], 0
    for moment in reversed(moments[1:]):
        rows += counts[moment]
        distance = abs(rows - share * len(times))
        if distance < best:
            best, first = distance, moment
    return [moment >= first for moment in times]
