"""Makes the inputs of an audit: one fold's labels are hidden and its rows join the test table.

Rows are cut out of the stored bytes' text form (all cells as texts), so what a program reads is what it would have
read. The appended rows keep the order of train.csv.
"""

from __future__ import annotations

import pandas as pd

from gome.events import Artifact, FoldMasked, MaskRequested
from gome.kernel.plugin import Artifacts
from gome.plugins.scorer.metrics.folds import sample_csv
from gome.plugins.scorer.metrics.tables import fold_numbers, id_texts, read_csv, row_ids


def _put(store: Artifacts, name: str, table: pd.DataFrame | bytes) -> Artifact:
    data = table if isinstance(table, bytes) else table.to_csv(index=False, lineterminator="\n").encode()
    return Artifact(store.put(data), len(data), name, "text/csv")


def mask_fold(store: Artifacts, asked: MaskRequested) -> FoldMasked:
    """Write `train.csv`, `test.csv`, `folds.csv` and `sample_submission.csv` of an audit. ValueError when the partition
    has no such fold (a decider asked for nonsense)."""
    task = asked.task
    hidden = fold_numbers(store, task, asked.folds, asked.partition) == asked.fold
    if not hidden.any():
        raise ValueError(f"partition {asked.partition} has no fold {asked.fold}; nothing to mask")
    train = read_csv(store.get(task.train.digest), dtype=str)
    test = read_csv(store.get(task.test.digest), dtype=str)
    folds = read_csv(store.get(asked.folds.digest), dtype=str)
    # folds.csv may be in another order than train.csv.
    stays = ~hidden[row_ids(store, task.train, task.id).locate(id_texts(folds[task.id]))]
    longer = pd.concat([test, train.loc[hidden, list(test.columns)]], ignore_index=True)
    shorter = train.loc[~hidden]
    return FoldMasked(
        partition=asked.partition,
        fold=asked.fold,
        inputs={
            "train.csv": _put(store, "train.csv", shorter),
            "test.csv": _put(store, "test.csv", longer),
            "folds.csv": _put(store, "folds.csv", folds.loc[stays]),
            "sample_submission.csv": _put(store, "sample_submission.csv", sample_csv(task, shorter, longer)),
        },
    )
