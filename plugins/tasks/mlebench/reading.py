"""Reads tables as MLE-bench does: pandas' own idea of missing values, numbers exactly as they are written.

Programs of a task read another dialect (`tasks.writing`); this one belongs to submissions, answers and public files.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

EXACT: dict[str, Any] = {}
if tuple(int(part) for part in pd.__version__.split(".")[:2]) < (3, 1):
    EXACT["float_precision"] = "round_trip"  # later versions always read back the number that was written


def read_csv(path: Path, **options: Any) -> pd.DataFrame:
    """A CSV file."""
    frame: pd.DataFrame = pd.read_csv(path, low_memory=False, **EXACT, **options)
    return frame


def read_table(path: Path) -> pd.DataFrame:
    """A public table: CSV, TSV alone in a zip archive, or a list of JSON objects, by the end of the file's name.

    Lists in cells become texts, joined by spaces.
    """
    if path.name.endswith(".json"):
        frame = pd.DataFrame(json.loads(path.read_bytes()))
        return frame.map(lambda cell: " ".join(map(str, cell)) if isinstance(cell, list) else cell)
    return read_csv(path, sep="\t" if ".tsv" in path.name else ",")


def read_sample(path: Path, rows: int, group: str, seed: int) -> tuple[pd.DataFrame, int]:
    """About `rows` rows of a large CSV, whole groups where `group` names a column; also how many there are in all.

    Read in pieces, so that memory holds what is kept. Which rows stay depends on the seed and on their place (or
    their group's value) only.
    """
    with path.open("rb") as file:
        lines = sum(piece.count(b"\n") for piece in iter(lambda: file.read(1 << 20), b""))
    share = rows / max(lines - 1, 1)
    if share >= 1:
        return read_csv(path), max(lines - 1, 1)
    drawn = np.random.default_rng(seed)
    kept, total = [], 0
    for piece in pd.read_csv(path, chunksize=200_000, **EXACT):
        total += len(piece)
        if group:
            places = pd.util.hash_array(piece[group].astype(str).to_numpy(dtype=object)) / 2.0**64
            kept.append(piece[places < share])
        else:
            kept.append(piece[drawn.random(len(piece)) < share])
    return pd.concat(kept, ignore_index=True), total
