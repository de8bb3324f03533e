"""Default LightGBM on the raw table (a template: the constants are an example).

    python program.py [--data FOLDER]                  default: the folder input beside this file
    python program.py --train A.csv --test B.csv --out C.csv

No tuning: raw target, text and categories as the category type, every hyper-parameter as LightGBM ships it. Written to
the current folder: oof.csv (by models that have not seen their fold), submission.csv (by one model fitted on all
training rows), scores.csv, diagnostics.json. GOME_SEED, GOME_PARTITION and GOME_THREADS are honoured.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path
from typing import Any

import lightgbm as lgb
import numpy as np
import pandas as pd
from sklearn import metrics

KIND = "regression"
METRIC = "rmse"
ID = "id"
TARGET = "y"
CLASSES: list[str] = []
CATEGORY: list[str] = []
TIME: list[str] = []
FEATURES: list[str] = ["x"]
SEED = int(os.environ.get("GOME_SEED", "0"))
PARTITION = int(os.environ.get("GOME_PARTITION", "0"))
THREADS = int(os.environ.get("GOME_THREADS", "1"))
OUTPUTS = CLASSES if KIND == "multiclass" else [TARGET]


def read(path: Path) -> tuple[pd.Series, pd.DataFrame]:
    """Return ids and features; categories stay text, times become days."""
    raw = pd.read_csv(path, dtype={name: str for name in [ID, *CATEGORY]}, low_memory=False)
    ids = raw[ID] if ID in raw else pd.Series(np.arange(len(raw)).astype(str), name=ID)
    table = raw[FEATURES].copy()
    for name in TIME:
        if not pd.api.types.is_numeric_dtype(table[name]):
            moment = pd.to_datetime(table[name], errors="coerce", format="mixed")
            table[name] = (moment - pd.Timestamp("1970-01-01")) / pd.Timedelta(days=1)
    return ids, table


def read_target(path: Path) -> np.ndarray:
    """Return the target: floats, or class numbers in the order of CLASSES."""
    if KIND == "regression":
        return pd.read_csv(path, usecols=[TARGET])[TARGET].to_numpy(float)
    labels = pd.read_csv(path, usecols=[TARGET], dtype=str, keep_default_na=False)[TARGET]
    return labels.map({name: number for number, name in enumerate(CLASSES)}).to_numpy(int)


def fit(table: pd.DataFrame, y: np.ndarray, rows: np.ndarray) -> Any:
    """Fit the default model on some rows; return a function from rows to predictions in submission columns."""
    maker = lgb.LGBMRegressor if KIND == "regression" else lgb.LGBMClassifier
    model = maker(verbose=-1, random_state=SEED, n_jobs=THREADS, deterministic=True, force_row_wise=True)
    model.fit(table.iloc[rows], y[rows])

    def predict(wanted: np.ndarray) -> np.ndarray:
        if KIND == "regression":
            found = np.asarray(model.predict(table.iloc[wanted]))[:, None]
            return np.maximum(found, 0.0) if METRIC == "rmsle" else found
        found = np.zeros((len(wanted), len(CLASSES)))
        found[:, model.classes_.astype(int)] = model.predict_proba(table.iloc[wanted])
        return found[:, 1:2] if KIND == "binary" else found

    return predict


def score(y: Any, p: Any) -> float:
    """The task's metric."""
    return float(metrics.r2_score(y, p[:, 0]))


def write(path: Path, ids: pd.Series, predicted: np.ndarray, fold: np.ndarray | None = None) -> None:
    """Write ids (with their fold) and predictions."""
    table = pd.DataFrame({ID: ids.to_numpy()})
    if fold is not None:
        table["fold"] = fold
    for number, name in enumerate(OUTPUTS):
        table[name] = predicted[:, number]
    table.to_csv(path, index=False)


def main() -> None:
    """Fit on all rows for the test table, and fold by fold for the score."""
    parser = argparse.ArgumentParser(description="Default LightGBM.")
    parser.add_argument("--data", type=Path, default=Path(__file__).resolve().parent / "input")
    parser.add_argument("--train", type=Path)
    parser.add_argument("--test", type=Path)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    begun = time.perf_counter()
    train_path = given.train or given.data / "train.csv"
    (ids, train), (test_ids, test) = read(train_path), read(given.test or given.data / "test.csv")
    y, table = read_target(train_path), pd.concat([train, test], ignore_index=True)
    for name in CATEGORY:
        table[name] = table[name].astype("category")
    every, test_rows = np.arange(len(y)), np.arange(len(y), len(table))
    write(given.out or Path("submission.csv"), test_ids, fit(table, y, every)(test_rows))
    if given.train or given.test or given.out:
        return
    folds = pd.read_csv(given.data / "folds.csv", dtype={ID: str}).set_index(ID)
    fold = folds.loc[ids, f"p{PARTITION}"].to_numpy(int)
    oof, scores, train_scores, seconds = np.zeros((len(y), len(OUTPUTS))), [], [], []
    for k in np.unique(fold):
        started = time.perf_counter()
        inside, held = every[fold != k], every[fold == k]
        predict = fit(table, y, inside)
        oof[held] = predict(held)
        scores.append(score(y[held], oof[held]))
        train_scores.append(score(y[inside], predict(inside)))
        seconds.append(time.perf_counter() - started)
    write(Path("oof.csv"), ids, oof, fold)
    index = [*(str(k) for k in np.unique(fold)), "ensemble"]
    pd.DataFrame({METRIC: [*scores, float(np.mean(scores))]}, index=index).to_csv("scores.csv")
    said = {
        "metric": METRIC,
        "score": float(np.mean(scores)),
        "fold_scores": scores,
        "train_score": float(np.mean(train_scores)),
        "fold_seconds": seconds,
        "seconds": time.perf_counter() - begun,
    }
    Path("diagnostics.json").write_text(json.dumps(said, indent=1))
    print(f"{METRIC} {np.mean(scores):.5f}")


if __name__ == "__main__":
    main()
