"""Main: run every (seed, partition) pair, average the pairs, write the files."""

from __future__ import annotations

import argparse
import json
import os
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import KFold, StratifiedKFold
from threadpoolctl import threadpool_limits

from gome.plugins.mutator.pipeline.fragments.blends import SCORE, blend_folds, blend_single, from_plain, to_plain
from gome.plugins.mutator.pipeline.fragments.constants import DEBUG, HERE, KIND, METRIC, PARTITIONS, SEEDS, THREADS
from gome.plugins.mutator.pipeline.fragments.members import Member, fit_member
from gome.plugins.mutator.pipeline.fragments.tables import (
    read_folds,
    read_predictions,
    read_table,
    read_target,
    write_predictions,
)

MEMBERS: list[Member] = []
BLEND = (blend_single, to_plain, from_plain, {"shrink": 0.0})


def rounded(value: Any) -> Any:
    """The value with its floats shortened, for the diagnostics."""
    if isinstance(value, dict):
        return {str(name): rounded(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [rounded(item) for item in value]
    return float(f"{float(value):.6g}") if isinstance(value, (float, np.floating)) else value


def residuals(y: np.ndarray, p: np.ndarray, to: Any) -> np.ndarray:
    """What a prediction misses, as one long vector."""
    if KIND == "regression":
        return (to(y[:, None]) - to(p))[:, 0]
    if KIND == "binary":
        return y - p[:, 0]
    return (np.eye(p.shape[1])[y] - p).ravel()


def make_folds(y: np.ndarray, seed: int) -> np.ndarray:
    """Five folds for a table that brings none."""
    fold = np.zeros(len(y), dtype=int)
    maker: Any = KFold if KIND == "regression" else StratifiedKFold
    for k, (_, held) in enumerate(maker(5, shuffle=True, random_state=seed).split(fold, y)):
        fold[held] = k
    return fold


def pairs_to_run() -> list[tuple[int, int]]:
    """The (seed, partition) pairs: a single one yields to GOME_SEED and GOME_PARTITION, several are fixed."""
    if len(SEEDS) > 1:
        return list(zip(SEEDS, PARTITIONS, strict=True))[: 1 if DEBUG else None]
    return [(int(os.environ.get("GOME_SEED", SEEDS[0])), int(os.environ.get("GOME_PARTITION", PARTITIONS[0])))]


def run_once(
    table: pd.DataFrame, ids: tuple[pd.Series, pd.Series], y: np.ndarray, fold: np.ndarray, seed: int, kept: Path | None
) -> tuple[np.ndarray, np.ndarray, dict[str, Any]]:
    """Fit (or read) all members and blend them; return out-of-fold and test predictions and diagnostics."""
    oofs: list[np.ndarray] = []
    tests: list[np.ndarray] = []
    infos: list[dict[str, Any]] = []
    for member in MEMBERS:
        cached = read_predictions(kept / member.key, *ids, fold) if kept else None
        info: dict[str, Any] = {}
        if cached:
            oof, test = cached
        else:
            oof, test, info = fit_member(member, table, y, fold, seed, SCORE)
        scores = [SCORE(y[fold == k], oof[fold == k]) for k in np.unique(fold)]
        if kept and not cached:
            write_predictions(Path("members", member.key, "oof.csv"), ids[0], oof, fold)
            write_predictions(Path("members", member.key, "submission.csv"), ids[1], test)
        print(f"{member.family} {member.key}: {METRIC} {np.mean(scores):.5f}")
        own = {"key": member.key, "family": member.family, "cached": bool(cached), "score": float(np.mean(scores))}
        infos.append(own | {"fold_scores": scores} | info)
        oofs.append(oof)
        tests.append(test)
    blend, to, back, options = BLEND
    oof, test, weights = blend_folds(blend, to, back, oofs, tests, y, fold, **options)
    said = {"kind": blend.__name__.removeprefix("blend_"), "weights": weights}
    if len(MEMBERS) > 1:
        said["correlation"] = np.corrcoef([residuals(y, p, to) for p in oofs]).tolist()
    scores = [SCORE(y[fold == k], oof[fold == k]) for k in np.unique(fold)]
    return oof, test, {"fold_scores": scores, "members": infos, "blend": said}


def main() -> None:
    """Read the command line and the tables, run all pairs, write predictions, scores and diagnostics."""
    parser = argparse.ArgumentParser(description="Fit on a training table, predict a test table.")
    parser.add_argument("--data", type=Path, default=HERE / "input", help="folder with train, test and folds.csv")
    parser.add_argument("--train", type=Path, help="training table; five folds are made for it")
    parser.add_argument("--test", type=Path, help="test table")
    parser.add_argument("--out", type=Path, help="write the test predictions here, and nothing else")
    given = parser.parse_args()
    for nuisance in (ConvergenceWarning, pd.errors.PerformanceWarning):
        warnings.simplefilter("ignore", nuisance)
    begun, alone = time.perf_counter(), bool(given.train or given.test or given.out)
    train_path = given.train or given.data / "train.csv"
    (train_ids, train), (test_ids, test) = read_table(train_path), read_table(given.test or given.data / "test.csv")
    table, y, pairs = pd.concat([train, test], ignore_index=True), read_target(train_path), pairs_to_run()
    kept = given.data / "members" if len(pairs) == 1 and not alone and not DEBUG else None
    found: list[Any] = []
    with threadpool_limits(THREADS):
        for seed, partition in pairs:
            folds_path = given.data / "folds.csv"
            fold = make_folds(y, partition) if given.train else read_folds(folds_path, train_ids, partition)
            found.append((*run_once(table, (train_ids, test_ids), y, fold, seed, kept), fold))
    # Several pairs: predictions are added in order and divided once; folds and diagnostics are the first pair's.
    oof, submission, said, fold = found[0]
    for other in found[1:]:
        oof, submission = oof + other[0], submission + other[1]
    oof, submission = oof / len(found), submission / len(found)
    write_predictions(given.out or Path("submission.csv"), test_ids, submission)
    if alone:
        return
    write_predictions(Path("oof.csv"), train_ids, oof, fold)
    scores = np.mean([other[2]["fold_scores"] for other in found], axis=0)
    index = [*(str(k) for k in np.unique(fold)), "ensemble"]
    pd.DataFrame({METRIC: [*scores, scores.mean()]}, index=index).to_csv("scores.csv")
    said = {"metric": METRIC, "score": float(scores.mean()), "seconds": time.perf_counter() - begun} | said
    Path("diagnostics.json").write_text(json.dumps(rounded(said | {"pairs": len(found), "rows": len(y)}), indent=1))
    print(f"{METRIC} {scores.mean():.5f}, deviation over folds {scores.std():.5f}")


if __name__ == "__main__":
    main()
