"""The debug sample: a tenth of the rows, at least 2,000, at least ten per class, spread over classes or target values.

`write_sample` cuts the tables that an execution finds in its `input/`; how many rows it takes is said in `settings.py`,
where the decider reads it as well. Rows are chosen by a hash of their id, so the same rows are chosen whenever and
wherever; they keep their order. Only the csv module is used: tables are read row by row and never held whole.
"""

from __future__ import annotations

import csv
import hashlib
import math
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path

from gome.events import Task
from gome.plugins.runner.sandbox.settings import Settings

BANDS = 10
"""Bands of target values between which a regression sample is spread."""

csv.field_size_limit(1 << 27)


def _rank(identity: str) -> bytes:
    return hashlib.sha1(identity.encode(), usedforsecurity=False).digest()


def _rows(path: Path) -> Iterator[list[str]]:
    with open(path, newline="", encoding="utf-8") as file:
        yield from csv.reader(file)


def _number(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        return math.inf
    return value if math.isfinite(value) else math.inf


def choose(labels: dict[str, str], size: int, per_stratum: int, *, numeric: bool) -> set[str]:
    """Choose ids: strata are classes, or bands of equal count of a numeric target; each gives its share of `size`, but
    at least `per_stratum` rows (or all it has)."""
    strata: dict[str, list[str]] = defaultdict(list)
    if numeric:
        in_order = sorted(labels, key=lambda i: (_number(labels[i]), i))
        for place, identity in enumerate(in_order):
            strata[str(place * BANDS // len(in_order))].append(identity)
    else:
        for identity, label in labels.items():
            strata[label].append(identity)
    chosen: set[str] = set()
    for members in strata.values():
        count = max(math.ceil(size * len(members) / len(labels)), per_stratum)
        chosen.update(sorted(members, key=_rank)[:count])
    return chosen


def write_sample(task: Task, sources: dict[str, Path], target: Path, settings: Settings) -> Counter[str]:
    """Write the sampled `train.csv`, `folds.csv`, `test.csv` and `sample_submission.csv` into `target`; return how many
    rows each has. `sources` maps these names to the whole tables; names that are absent are left out."""
    train = _rows(sources["train.csv"])
    header = next(train)
    id_at, target_at = header.index(task.id), header.index(task.target)
    labels = {row[id_at]: row[target_at] for row in train if row}
    size = settings.sample_size(len(labels), len(task.classes))
    kept = choose(labels, size, settings.debug_per_class if task.classes else 1, numeric=task.kind == "regression")
    counts: Counter[str] = Counter()
    for name in ("train.csv", "folds.csv"):
        if name in sources:
            counts[name] = _filter(sources[name], target / name, task.id, kept)
    if "test.csv" in sources:
        test = _rows(sources["test.csv"])
        at = next(test).index(task.id)
        ids = [row[at] for row in test if row]
        wanted = settings.sample_size(len(ids), 0)
        kept = set(sorted(ids, key=_rank)[:wanted])
        for name in ("test.csv", "sample_submission.csv"):
            if name in sources:
                counts[name] = _filter(sources[name], target / name, task.id, kept)
    return counts


def _filter(source: Path, target: Path, column: str, kept: set[str]) -> int:
    rows = _rows(source)
    header = next(rows)
    at = header.index(column)
    count = 0
    with open(target, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        for row in rows:
            if row and row[at] in kept:
                writer.writerow(row)
                count += 1
    return count
