"""Averages prediction files: float64, summed in run order, divided once, written so that the same number is read back.

The selected program does the same in the same order, so its file can be compared byte for byte. An ensemble's files
are joined by the very code that its program consists of (`blend`). Called by the plugin's `perform`; the only file here
that imports pandas.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import pandas as pd

from gome.events import Artifact
from gome.kernel.plugin import Artifacts
from gome.plugins.selection.reruns.blend import weighted_mean
from gome.plugins.selection.reruns.events import AverageRequested, EnsembleRequested, SubmissionAveraged

_EXACT: dict[str, Any] = {}
if tuple(int(part) for part in pd.__version__.split(".")[:2]) < (3, 1):
    _EXACT["float_precision"] = "round_trip"  # later versions always read back the number that was written


def average(store: Artifacts, asked: AverageRequested) -> SubmissionAveraged:
    """Write both means into the store."""
    return SubmissionAveraged(
        submission=_mean(store, asked.submissions, asked, "submission.csv"),
        oof=_mean(store, asked.oofs, asked, "oof.csv"),
    )


def joined(store: Artifacts, asked: EnsembleRequested) -> SubmissionAveraged:
    """Write both weighted means into the store."""

    def write(files: Sequence[Artifact], name: str) -> Artifact:
        texts = [store.get(file.digest).decode() for file in files]
        data = weighted_mean(texts, asked.weights, asked.id, asked.columns).encode()
        return Artifact(store.put(data), len(data), name, "text/csv")

    return SubmissionAveraged(write(asked.submissions, "submission.csv"), write(asked.oofs, "oof.csv"))


def _mean(store: Artifacts, files: Sequence[Artifact], asked: AverageRequested, name: str) -> Artifact:
    first = _read(store, files[0], asked.id)
    columns = list(asked.columns)
    total = first[columns].astype("float64").to_numpy()
    for file in files[1:]:
        more = _read(store, file, asked.id)
        if not more[asked.id].equals(first[asked.id]):
            more = more.set_index(asked.id).loc[first[asked.id]]
        total = total + more[columns].astype("float64").to_numpy()
    first[columns] = total / len(files)
    data = first.to_csv(index=False, lineterminator="\n").encode()
    return Artifact(store.put(data), len(data), name, "text/csv")


def _read(store: Artifacts, file: Artifact, id: str) -> pd.DataFrame:
    found: pd.DataFrame = pd.read_csv(
        io.BytesIO(store.get(file.digest)), dtype={id: str}, keep_default_na=False, na_values=[""], **_EXACT
    )
    return found
