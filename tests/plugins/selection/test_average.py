"""Averages of prediction files: float64, run order, exact to the last digit."""

from __future__ import annotations

import io

import numpy as np
import pandas as pd

from gome.events import Artifact
from gome.kernel.testing import MemoryArtifacts
from gome.plugins.selection.reruns.average import average
from gome.plugins.selection.reruns.events import AverageRequested


def test_the_mean_is_what_a_program_with_all_seeds_would_write() -> None:
    store = MemoryArtifacts()
    generator = np.random.default_rng(0)
    values = [generator.lognormal(size=(50, 2)) for _ in range(3)]
    ids = [f"{i:03d}" for i in range(50)]

    def put(table: pd.DataFrame) -> Artifact:
        data = table.to_csv(index=False).encode()
        return Artifact(store.put(data), len(data))

    tables = [pd.DataFrame({"id": ids, "a": v[:, 0], "b": v[:, 1]}) for v in values]
    tables[1] = tables[1].iloc[::-1]
    oofs = [t.assign(fold=n)[["id", "fold", "a", "b"]] for n, t in enumerate(tables)]
    found = average(
        store, AverageRequested(tuple(map(put, tables)), tuple(map(put, oofs)), id="id", columns=("a", "b"))
    )
    for file, name, first in ((found.submission, "submission.csv", "a"), (found.oof, "oof.csv", "fold")):
        table = pd.read_csv(io.BytesIO(store.get(file.digest)), dtype={"id": str})
        assert list(table["id"]) == ids and table.columns[1] == first and file.name == name
        assert (table[["a", "b"]].to_numpy() == (values[0] + values[1] + values[2]) / 3).all()
    assert (pd.read_csv(io.BytesIO(store.get(found.oof.digest)))["fold"] == 0).all()
