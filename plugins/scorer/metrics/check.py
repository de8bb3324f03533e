"""Layer 1, format: are a program's files what the task asks for? Each fault is one sentence for the program's author.

Order of rows does not matter, ids do. Class probabilities must sum to 1 within `SUM_TOLERANCE` and are then divided by
their sum, which undoes rounding; larger errors are refused rather than repaired, because they mean that something else
than probabilities was written. Extra columns are refused in predictions (they are usually a forgotten index).
"""

from __future__ import annotations

import csv
import io
from itertools import islice
from typing import NamedTuple

import numpy as np
import pandas as pd

from gome.events import METRICS, Artifact, Task
from gome.kernel.plugin import Artifacts
from gome.plugins.scorer.metrics.tables import Floats, Ints, RowIds, TableError, id_texts, read_csv, remembered

SUM_TOLERANCE = 1e-3
"""How far the probabilities of a row may be from summing to 1."""


SHOWN = 40
"""Characters of a program's own text that are repeated in a refusal."""
STRANGERS = 1000
"""Columns beyond those wanted that are looked at, to be named in the refusal."""


class OutOfFold(NamedTuple):
    """Checked out-of-fold predictions in the order of train.csv: shape (rows,) or (rows, classes), and the folds."""

    predicted: Floats
    folds: Ints


def _some(texts: list[str]) -> str:
    shown = (repr(t if len(t) <= SHOWN else t[:SHOWN] + "…") for t in texts[:3])
    return ", ".join(shown) + (" …" if len(texts) > 3 else "")


def _refuse_wide(name: str, data: bytes, wanted: int) -> None:
    """Refuse a table whose first two records are absurdly wide, before a parser makes a column of every cell: a million
    columns fit into a megabyte, and take pandas minutes and gigabytes. Records after them cannot be wider."""
    text = io.TextIOWrapper(io.BytesIO(data), encoding="utf-8", errors="replace", newline="")
    try:
        widest = max((len(record) for record in islice((r for r in csv.reader(text) if r), 2)), default=0)
    except csv.Error as error:
        raise TableError(f"{name} is not a readable CSV table ({error})") from error
    if widest > wanted + STRANGERS:
        raise TableError(f"{name} has {widest} columns; {wanted} are wanted")


def _table(store: Artifacts, name: str, file: Artifact, task: Task, rows: int, extra: tuple[str, ...]) -> pd.DataFrame:
    """Read a prediction file after looking at its size, and check its header."""
    wanted = (task.id, *extra, *task.prediction_columns)
    limit = 2**20 + rows * (256 + 40 * len(wanted))
    if file.size > limit:
        raise TableError(f"{name} has {file.size} bytes; {rows} rows of {len(wanted)} columns fit into {limit}")
    data = store.get(file.digest)
    _refuse_wide(name, data, len(wanted))
    try:
        table = read_csv(data, dtype={task.id: str})
    except TableError as error:
        raise TableError(f"{name}: {error}") from error
    missing = [c for c in wanted if c not in table.columns]
    if missing:
        have = _some([str(c) for c in table.columns])
        raise TableError(f"{name} lacks the column {_some(missing)}; it has {have}, wanted are {', '.join(wanted[:6])}")
    strangers = [str(c) for c in table.columns if c not in wanted]
    if strangers:
        raise TableError(
            f"{name} has columns that nobody asked for: {_some(strangers)}; write index=False, ids and predictions only"
        )
    return table


def _rows(name: str, table: pd.DataFrame, task: Task, ids: RowIds) -> Ints:
    """Position of each row of a prediction file among the expected ids; every id must occur exactly once."""
    texts = id_texts(table[task.id])
    places = ids.locate(texts)
    if (places < 0).any():
        raise TableError(
            f"{name} has {int((places < 0).sum())} ids that are not expected there, such as "
            f"{_some([str(t) for t in texts[places < 0]])}"
        )
    counts = np.bincount(places, minlength=len(ids))
    if (counts > 1).any():
        raise TableError(
            f"{name} repeats {int((counts > 1).sum())} ids, such as "
            f"{_some([str(t) for t in ids.texts[counts > 1]])}; one row per id"
        )
    if (counts == 0).any():
        raise TableError(
            f"{name} lacks {int((counts == 0).sum())} of {len(ids)} ids, such as "
            f"{_some([str(t) for t in ids.texts[counts == 0]])}"
        )
    return places


def _predictions(name: str, table: pd.DataFrame, task: Task) -> Floats:
    """The prediction columns as float64, checked against what the metric can take."""
    columns = list(task.prediction_columns)
    values = np.empty((len(table), len(columns)))
    for position, column in enumerate(columns):
        cells = table[column]
        if not pd.api.types.is_numeric_dtype(cells) or pd.api.types.is_bool_dtype(cells):
            loose = pd.to_numeric(cells.astype("string"), errors="coerce")
            bad = [str(v) for v in cells[loose.isna().to_numpy() & cells.notna().to_numpy()]]
            if bad:
                raise TableError(f"{name}: column {column!r} holds texts such as {_some(bad)}; predictions are numbers")
            cells = loose
        values[:, position] = cells.to_numpy(dtype=np.float64, na_value=np.nan)
    wrong = ~np.isfinite(values)
    if wrong.any():
        where = columns[int(np.argmax(wrong.any(axis=0)))]
        rows = int(wrong.any(axis=1).sum())
        raise TableError(f"{name}: {rows} rows have missing or infinite predictions ({where!r})")
    if task.kind != "regression":
        low, high = float(values.min()), float(values.max())
        if low < -1e-9 or high > 1 + 1e-9:
            raise TableError(f"{name}: probabilities lie in [0, 1], found {low:.6g} to {high:.6g}")
        values = np.clip(values, 0.0, 1.0)
    if task.kind == "multiclass":
        sums = values.sum(axis=1)
        off = np.abs(sums - 1.0)
        if off.max() > SUM_TOLERANCE:
            row = int(np.argmax(off))
            raise TableError(
                f"{name}: the probabilities of {int((off > SUM_TOLERANCE).sum())} rows do not sum to 1 "
                f"(one sums to {sums[row]:.6g}); divide each row by its sum"
            )
        return np.asarray(values / sums[:, None])
    facts = METRICS.get(task.metric.name)
    if facts and facts.minimum is not None and values.size and float(values.min()) < facts.minimum:
        raise TableError(
            f"{name}: {task.metric.name} needs predictions of at least {facts.minimum:g}; "
            f"{int((values < facts.minimum).sum())} are lower (down to {values.min():.6g}): clip them"
        )
    return values[:, 0]


def submission(store: Artifacts, task: Task, file: Artifact, ids: RowIds, name: str = "submission.csv") -> Floats:
    """Check a submission against the ids it must cover; returns its predictions in the order of `ids`."""

    def make() -> Floats:
        table = _table(store, name, file, task, len(ids), ())
        places = _rows(name, table, task, ids)
        values = _predictions(name, table, task)
        out = np.empty_like(values)
        out[places] = values
        return out

    key = ("submission", file.digest, task.kind, task.metric.name, task.prediction_columns, ids.key)
    return remembered(key, make)


def out_of_fold(store: Artifacts, task: Task, file: Artifact, ids: RowIds, folds: Ints) -> OutOfFold:
    """Check out-of-fold predictions against the training ids and the task's folds."""

    def make() -> OutOfFold:
        table = _table(store, "oof.csv", file, task, len(ids), ("fold",))
        places = _rows("oof.csv", table, task, ids)
        claimed = pd.to_numeric(table["fold"], errors="coerce").to_numpy(dtype=np.float64)
        differs = claimed != folds[places]
        if differs.any():
            row = int(np.argmax(differs))
            raise TableError(
                f"oof.csv: the folds of {int(differs.sum())} rows are not those of input/folds.csv (id "
                f"{ids.texts[places[row]]!r} is in fold {folds[places[row]]}, oof.csv says "
                f"{str(table['fold'][row])[:SHOWN]}); take the column that GOME_PARTITION names"
            )
        values = _predictions("oof.csv", table, task)
        out = np.empty_like(values)
        out[places] = values
        return OutOfFold(out, folds)

    key = ("oof", file.digest, task.kind, task.metric.name, task.prediction_columns, ids.key, folds.tobytes())
    return remembered(key, make)
