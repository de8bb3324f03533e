"""Reads the tables that scoring needs: training targets, folds, predictions; rows are matched by id, not by position.

CSV dialect of every table of a task: an empty cell is missing, everything else is a value (so a category "None" stays
one). Parsed tables are kept by digest, since the same folds and the same rivals are read again and again. Nothing is
judged here but readability: `TableError` carries one sentence for the author of a program.
"""

from __future__ import annotations

import hashlib
import io
import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
import pandas as pd

from gome.events import Artifact, Task
from gome.kernel.plugin import Artifacts

T = TypeVar("T")
Floats = np.ndarray[Any, np.dtype[np.float64]]
Ints = np.ndarray[Any, np.dtype[np.int64]]


class TableError(Exception):
    """A table cannot be read as what it should be; the text says what is wrong, for the author of the program."""


class Cache:
    """Remembers parsed tables by key; the least recently used go first. Safe to share between threads."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._kept: OrderedDict[tuple[Any, ...], Any] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: tuple[Any, ...], make: Callable[[], T]) -> T:
        """Return what is kept under a key, made first if need be; content under a key never changes."""
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                found: T = self._kept[key]
                return found
        made = make()
        with self._lock:
            self._kept[key] = made
            while len(self._kept) > self._size:
                self._kept.popitem(last=False)
        return made


_EXACT: dict[str, Any] = {}
if tuple(int(part) for part in pd.__version__.split(".")[:2]) < (3, 1):
    _EXACT["float_precision"] = "round_trip"  # later versions always read back the number that was written

_frames = Cache(4)
_small = Cache(96)


def read_csv(data: bytes, **options: Any) -> pd.DataFrame:
    """Parse a table in the dialect of tasks; `TableError` if it is no table at all."""
    try:
        frame: pd.DataFrame = pd.read_csv(io.BytesIO(data), keep_default_na=False, na_values=[""], **_EXACT, **options)
    except (ValueError, UnicodeDecodeError, pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        said = (str(error).splitlines() or [type(error).__name__])[0]
        raise TableError(f"it is not a readable CSV table ({said[:160]})") from error
    return frame


def frame_of(store: Artifacts, table: Artifact) -> pd.DataFrame:
    """A whole table of the task, parsed once; callers must not change it."""
    return _frames.get(("frame", table.digest), lambda: read_csv(store.get(table.digest), low_memory=False))


def id_texts(values: pd.Series[Any]) -> np.ndarray[Any, Any]:
    """Ids as stripped texts, the form in which they are compared."""
    return values.astype("string").str.strip().fillna("").to_numpy(dtype=object)


class RowIds:
    """The ids of a task's rows in their order, and where each row stands.

    Ids that are all whole numbers are compared as numbers, so that a program that read `007` and wrote `7` (or `7.0`)
    is understood. `key` names the content.
    """

    def __init__(self, texts: np.ndarray[Any, Any]) -> None:
        self.texts = texts
        self.key = hashlib.sha256("\n".join(texts).encode()).hexdigest()
        self.numeric = _whole(texts)
        if self.numeric is not None and len(np.unique(self.numeric)) < len(texts):
            self.numeric = None
        self.index: pd.Index[Any] = pd.Index(texts if self.numeric is None else self.numeric)

    def __len__(self) -> int:
        return len(self.texts)

    def locate(self, texts: np.ndarray[Any, Any]) -> Ints:
        """Position of each given id among ours, -1 for strangers."""
        if self.numeric is not None:
            numbers = _whole(texts)
            if numbers is None:
                loose = pd.to_numeric(pd.Series(texts), errors="coerce")
                whole = loose.where((loose % 1 == 0) & (loose.abs() < 2**53), -(2**62))
                numbers = np.asarray(whole.to_numpy(), dtype=np.int64)
            return np.asarray(self.index.get_indexer(pd.Index(numbers)), dtype=np.int64)
        return np.asarray(self.index.get_indexer(pd.Index(texts)), dtype=np.int64)


def _whole(texts: np.ndarray[Any, Any]) -> Ints | None:
    try:
        numbers: Ints = texts.astype(np.int64)
    except (ValueError, TypeError, OverflowError):
        return None
    return numbers


def row_ids(store: Artifacts, table: Artifact, column: str) -> RowIds:
    """Ids of a table's rows, in its order."""

    def make() -> RowIds:
        frame = read_csv(store.get(table.digest), usecols=[column], dtype={column: str})
        return RowIds(id_texts(frame[column]))

    return _small.get(("ids", table.digest, column), make)


def target_of(task: Task, values: pd.Series[Any]) -> Floats:
    """A target column as numbers: itself, or the position of the class in `task.classes`. NaN where it is neither."""
    if task.kind == "regression":
        numbers: Floats = pd.to_numeric(values, errors="coerce").to_numpy(dtype=np.float64)
        return numbers
    texts = values.astype("string").str.strip()
    codes = pd.Index(list(task.classes)).get_indexer(pd.Index(texts.fillna("").to_numpy(dtype=object)))
    if (codes < 0).any():
        # "1.0" for "1" and the like: compare as numbers where both sides are numbers.
        given = pd.to_numeric(texts, errors="coerce").to_numpy(dtype=np.float64)
        known = pd.to_numeric(pd.Series(list(task.classes)), errors="coerce").to_numpy(dtype=np.float64)
        for position, number in enumerate(known):
            codes[(codes < 0) & (given == number)] = position
    out = codes.astype(np.float64)
    out[codes < 0] = np.nan
    return out


def training_target(store: Artifacts, task: Task) -> Floats:
    """Targets of the training rows in the order of train.csv."""

    def make() -> Floats:
        frame = read_csv(store.get(task.train.digest), usecols=[task.target], dtype={task.target: str})
        return target_of(task, frame[task.target])

    return _small.get(("target", task.train.digest, task.target, task.kind, task.classes), make)


def fold_numbers(store: Artifacts, task: Task, folds: Artifact, partition: int) -> Ints:
    """Fold number of each training row (order of train.csv) in one partition."""

    def make() -> Ints:
        column = f"p{partition}"
        frame = read_csv(store.get(folds.digest), usecols=[task.id, column], dtype={task.id: str, column: "int64"})
        rows = row_ids(store, task.train, task.id).locate(id_texts(frame[task.id]))
        numbers: Ints = np.full(len(rows), -1, dtype=np.int64)
        numbers[rows] = frame[column].to_numpy()
        return numbers

    return _small.get(("folds", folds.digest, partition), make)


def answers_of(task: Task, data: bytes) -> tuple[np.ndarray[Any, Any], Floats]:
    """Ids and targets of the hidden answers."""

    def make() -> tuple[np.ndarray[Any, Any], Floats]:
        frame = read_csv(data, usecols=[task.id, task.target], dtype={task.id: str, task.target: str})
        return id_texts(frame[task.id]), target_of(task, frame[task.target])

    return _small.get(("answers", task.answers, task.id, task.target), make)


def remembered(key: tuple[Any, ...], make: Callable[[], T]) -> T:
    """Keep something small that is computed from artifacts, by their digests."""
    return _small.get(key, make)
