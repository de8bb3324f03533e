"""Tables: read the inputs, keep order and ids, write predictions with full precision."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from gome.plugins.mutator.pipeline.fragments.constants import CATEGORY, CLASSES, ID, KIND, NUMERIC, TARGET, TEXT, TIME

OUTPUTS = CLASSES if KIND == "multiclass" else [TARGET]
FEATURES = NUMERIC + CATEGORY + TEXT + TIME


def read_table(path: Path) -> tuple[pd.Series, pd.DataFrame]:
    """Return ids (as text) and features: numbers as float, times as days, categories and texts as str or None."""
    raw = pd.read_csv(path, dtype={name: str for name in [ID, *CATEGORY, *TEXT]}, low_memory=False)
    ids = raw[ID] if ID in raw else pd.Series(np.arange(len(raw)).astype(str), name=ID)
    table = pd.DataFrame(index=raw.index)
    for name in FEATURES:
        column = raw[name]
        if name in CATEGORY or name in TEXT:
            table[name] = column.astype(object).where(column.notna(), None)
        elif name in TIME and not pd.api.types.is_numeric_dtype(column):
            moment = pd.to_datetime(column, errors="coerce", format="mixed")
            table[name] = (moment - pd.Timestamp("1970-01-01")) / pd.Timedelta(days=1)
        else:
            table[name] = pd.to_numeric(column, errors="coerce").astype(float)
    return ids, table


def read_target(path: Path) -> np.ndarray:
    """Return the target of each row: floats, or class numbers in the order of CLASSES."""
    if KIND == "regression":
        return pd.read_csv(path, usecols=[TARGET])[TARGET].to_numpy(float)
    labels = pd.read_csv(path, usecols=[TARGET], dtype=str, keep_default_na=False)[TARGET]
    if unknown := sorted(set(labels) - set(CLASSES)):
        raise SystemExit(f"{path}: {TARGET} holds {unknown[:3]}, the classes are {CLASSES}")
    return labels.map({name: number for number, name in enumerate(CLASSES)}).to_numpy(int)


def read_folds(path: Path, ids: pd.Series, partition: int) -> np.ndarray:
    """Return the fold number of each training row in a partition."""
    folds = pd.read_csv(path, dtype={ID: str}).set_index(ID)
    return folds.loc[ids, f"p{partition}"].to_numpy(int)


def write_predictions(path: Path, ids: pd.Series, predicted: np.ndarray, fold: np.ndarray | None = None) -> None:
    """Write ids (with their fold) and predictions; floats are written so that they can be read back exactly."""
    table = pd.DataFrame({ID: ids.to_numpy()})
    if fold is not None:
        table["fold"] = fold
    for number, name in enumerate(OUTPUTS):
        table[name] = predicted[:, number]
    path.parent.mkdir(parents=True, exist_ok=True)
    table.to_csv(path, index=False)


def read_predictions(folder: Path, ids: pd.Series, test_ids: pd.Series, fold: np.ndarray) -> list[np.ndarray] | None:
    """Return out-of-fold and test predictions kept by an earlier execution, None unless they fit these very rows."""
    if not ((folder / "oof.csv").exists() and (folder / "submission.csv").exists()):
        return None
    oof, test = (pd.read_csv(folder / name, dtype=str) for name in ("oof.csv", "submission.csv"))
    same = list(oof[ID]) == list(ids) and list(test[ID]) == list(test_ids)
    if not same or list(oof["fold"]) != [str(k) for k in fold]:
        return None
    # Text to float by numpy is exact, so these are the very numbers that were written.
    return [table[OUTPUTS].to_numpy(object).astype(float) for table in (oof, test)]
