"""Deals training rows into folds: every partition at once, from a seed, the same on every machine.

Four rules, the first that applies. *Time*: contiguous blocks in time order (rows of one moment, or of one group, stay
together); partition r moves all cuts by its own share of a block, so that repeats see other blocks and still no
shuffled time. A program is fitted on the blocks after as well as before the scored one: this measures
interpolation, which `findings` says. *Groups*: a group is never cut; groups are dealt largest first to the fold that
lacks them most, within strata. *Classes*: each fold gets its share of every class. *Numbers*: the same with twenty
quantile bins of the target.

Random numbers come from `numpy.random.RandomState`, whose streams numpy has promised never to change.
"""

from __future__ import annotations

import heapq
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from gome.events import Task
from gome.kernel.errors import UsageError
from gome.plugins.scorer.metrics.tables import Floats, Ints, target_of

BINS = 20
"""Most quantile bins by which a numeric target is spread over the folds."""


class Folds(NamedTuple):
    """`numbers` has shape (rows, partitions), 0-based fold numbers; `fold_count` perhaps fewer than asked."""

    numbers: Ints
    fold_count: int
    findings: tuple[str, ...]


def make_folds(task: Task, train: pd.DataFrame, *, folds: int, partitions: int, seed: int) -> Folds:
    """Deal the rows of `train`. UsageError when the table cannot be folded at all."""
    rows = len(train)
    findings: list[str] = []
    if folds < 2 or partitions < 1:
        raise UsageError(f"folds = {folds}, partitions = {partitions} cannot mean anything; ask for at least 2 and 1")
    if rows < 4:
        raise UsageError(f"train.csv of task {task.name!r} has {rows} rows; at least 4 are needed for folds")
    groups = _codes(train[task.group]) if task.group else None
    units = int(groups.max()) + 1 if groups is not None else rows
    count = min(folds, max(2, units if groups is not None else rows // 2))
    if units < 2:
        raise UsageError(f"group column {task.group!r} has one value only; folds would cut the group: leave it out")
    moments = _moments(train[task.time]) if task.time else None
    if moments is not None and groups is None:
        count = min(count, len(np.unique(moments)))
        if count < 2:
            raise UsageError(f"time column {task.time!r} has one value only; folds cannot follow it: leave it out")
    if count < folds:
        findings.append(f"{count} folds instead of {folds}: there is not enough to deal out")
    strata = _strata(task, train, count)
    if task.kind != "regression":
        sizes = np.bincount(strata[strata >= 0])
        rare = int((sizes[sizes > 0] < count).sum())
        if rare:
            findings.append(f"{rare} class(es) have fewer rows than there are folds; some folds score without them")
    out: Ints = np.empty((rows, partitions), dtype=np.int64)
    for partition in range(partitions):
        generator = np.random.RandomState((seed * 1_000_003 + partition * 7_919) % 2**32)
        if moments is not None:
            out[:, partition] = _blocks(moments, groups, count, partition, partitions)
        elif groups is not None:
            out[:, partition] = _groups(groups, strata, count, generator)
        else:
            out[:, partition] = _deal(strata, count, generator)
    if moments is not None:
        findings.append(
            f"folds are contiguous blocks of {task.time!r}; programs also learn from blocks after the scored one, so "
            "validation scores are somewhat better than a forecast would be"
        )
    return Folds(out, count, tuple(findings))


def _codes(values: pd.Series[Any]) -> Ints:
    """Positions of the distinct values in order of appearance; a missing value is a group of its own row."""
    codes, known = pd.factorize(values)
    codes = codes.astype(np.int64)
    missing = codes < 0
    codes[missing] = len(known) + np.arange(int(missing.sum()))
    return codes


def _moments(values: pd.Series[Any]) -> Floats:
    """Times as numbers, whether given as numbers or as dates; missing ones come first."""
    numbers = pd.to_numeric(values, errors="coerce").to_numpy(dtype=np.float64)
    if np.isnan(numbers).mean() > 0.5:
        stamps = pd.to_datetime(values.astype("string"), errors="coerce", format="mixed", utc=True)
        numbers = (stamps - pd.Timestamp(0, tz="UTC")).dt.total_seconds().to_numpy(dtype=np.float64)
    if np.isnan(numbers).mean() > 0.5:
        codes, _ = pd.factorize(values, sort=True)
        numbers = np.where(codes < 0, np.nan, codes).astype(np.float64)
    return np.asarray(np.nan_to_num(numbers, nan=-np.inf), dtype=np.float64)


def _strata(task: Task, train: pd.DataFrame, folds: int) -> Ints:
    """The class, or the quantile bin of the target, of each row."""
    target = target_of(task, train[task.target])
    if task.kind != "regression":
        return np.nan_to_num(target, nan=-1).astype(np.int64) + 1
    bins = max(1, min(BINS, len(target) // (2 * folds)))
    order = np.argsort(np.nan_to_num(target, nan=-np.inf), kind="stable")
    strata: Ints = np.empty(len(target), dtype=np.int64)
    strata[order] = np.arange(len(target)) * bins // max(len(target), 1)
    return strata


def _deal(strata: Ints, folds: int, generator: np.random.RandomState) -> Ints:
    """Deal shuffled rows round robin, stratum after stratum, so that folds differ by one row at most, overall and
    within each stratum."""
    shuffled = generator.permutation(len(strata))
    order = shuffled[np.argsort(strata[shuffled], kind="stable")]
    out: Ints = np.empty(len(strata), dtype=np.int64)
    out[order] = np.arange(len(strata)) % folds
    return np.asarray(generator.permutation(folds)[out], dtype=np.int64)


def _groups(groups: Ints, strata: Ints, folds: int, generator: np.random.RandomState) -> Ints:
    """Deal whole groups. A group belongs to the stratum of its median row; the largest are placed first, each on the
    fold with the fewest rows of that stratum (then the fewest rows at all)."""
    count = int(groups.max()) + 1
    sizes = np.bincount(groups, minlength=count)
    by_group = np.lexsort((strata, groups))
    starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    typical = strata[by_group[starts + (sizes - 1) // 2]]
    shuffled = generator.permutation(count)
    order = shuffled[np.lexsort((-sizes[shuffled], typical[shuffled]))]
    load = [0] * folds
    taken: Ints = np.empty(count, dtype=np.int64)
    stratum, heap = None, []
    for group in order.tolist():
        if typical[group] != stratum:
            stratum = typical[group]
            heap = [(0, load[fold], fold) for fold in range(folds)]
            heapq.heapify(heap)
        have, _, fold = heap[0]
        taken[group] = fold
        load[fold] += int(sizes[group])
        heapq.heapreplace(heap, (have + int(sizes[group]), load[fold], fold))
    return np.asarray(generator.permutation(folds)[taken[groups]], dtype=np.int64)


def _blocks(moments: Floats, groups: Ints | None, folds: int, partition: int, partitions: int) -> Ints:
    """Contiguous blocks in time order. The cuts of partition r stand at (k + shift_r) / folds of the rows, with
    shifts spread over (-0.4, 0.4) and 0 for partition 0."""
    if groups is None:
        units = pd.factorize(moments, sort=True)[0].astype(np.int64)
    else:
        last = pd.Series(moments).groupby(groups).max().to_numpy()
        rank = np.empty(len(last), dtype=np.int64)
        rank[np.argsort(last, kind="stable")] = np.arange(len(last))
        units = rank[groups]
    sizes = np.bincount(units)
    shift = 0.0
    if partition:
        step = (partition + 1) // 2 / (partitions // 2 + 1)
        shift = 0.4 * step if partition % 2 else -0.4 * step
    middle = (np.cumsum(sizes) - 0.5 * sizes) / sizes.sum()
    block = np.clip(np.floor(middle * folds - shift), 0, folds - 1).astype(np.int64)
    # Few, uneven moments may leave a block empty: then the moments themselves are dealt out evenly.
    if len(np.unique(block)) < folds:
        block = np.arange(len(sizes)) * folds // len(sizes)
    out: Ints = block[units]
    return out


def folds_csv(task: Task, train: pd.DataFrame, made: Folds) -> bytes:
    """The table every program reads: id, p0, p1, …"""
    table = pd.DataFrame({task.id: train[task.id].to_numpy()})
    for partition in range(made.numbers.shape[1]):
        table[f"p{partition}"] = made.numbers[:, partition]
    return table.to_csv(index=False, lineterminator="\n").encode()


def sample_csv(task: Task, train: pd.DataFrame, test: pd.DataFrame) -> bytes:
    """A submission that predicts the same for every row: the mean target, or the classes' shares."""
    target = target_of(task, train[task.target])
    table = pd.DataFrame({task.id: test[task.id].to_numpy()})
    if task.kind == "multiclass":
        shares = np.bincount(target[np.isfinite(target)].astype(np.int64), minlength=len(task.classes)) / len(target)
        for name, share in zip(task.classes, shares / shares.sum(), strict=True):
            table[name] = share
    else:
        table[task.target] = float(np.nanmean(target))
    return table.to_csv(index=False, lineterminator="\n").encode()
