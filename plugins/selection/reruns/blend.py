"""The weighted mean of what several programs predict.

Gome joins the prediction files of an ensemble with `weighted_mean`. A program that hands in an ensemble is this very
file with the programs at its end: `main` runs each of them by itself, in a folder of its own, and joins what they write
in the same way, so that the same bytes come out. Standard library only.
"""

from __future__ import annotations

import argparse
import csv
import io
import math
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

HERE = Path(__file__).resolve().parent
TABLES = {"train": "training table", "test": "test table", "out": "write the test predictions here, and nothing else"}
"""What may be given on the command line where every program takes it."""


def weighted_mean(files: Sequence[str], weights: Sequence[float], id: str, columns: Sequence[str]) -> str:
    """Join CSV texts: the first one with the weighted mean of all in some columns, rows matched by id. The sum is exact
    before it is rounded, and numbers are written so that the same are read back. KeyError for an id or a column that a
    text lacks, ValueError for what is no number."""
    first = csv.DictReader(io.StringIO(files[0], newline=""))
    others = [{row[id]: row for row in csv.DictReader(io.StringIO(text, newline=""))} for text in files[1:]]
    found = io.StringIO(newline="")
    writer = csv.DictWriter(found, first.fieldnames or (), lineterminator="\n")
    writer.writeheader()
    for row in first:
        rows = [row, *(other[row[id]] for other in others)]
        for column in columns:
            row[column] = repr(math.fsum(w * float(r[column]) for w, r in zip(weights, rows, strict=True)))
        writer.writerow(row)
    return found.getvalue()


def main(programs: Mapping[str, str], weights: Sequence[float], id: str, columns: Sequence[str]) -> None:
    """Run programs one after the other and write the weighted mean of their predictions into the working folder."""
    parser = argparse.ArgumentParser(description="Run several programs; write the weighted mean of their predictions.")
    parser.add_argument("--data", type=Path, default=HERE / "input", help="folder with train, test and folds.csv")
    for name, what in TABLES.items():
        parser.add_argument(f"--{name}", type=Path, help=what)
    given = vars(parser.parse_args())
    alone = {name: given[name].absolute() for name in TABLES if given[name]}
    with tempfile.TemporaryDirectory() as top:
        folders = [Path(top, name) for name in programs]
        for (name, text), folder in zip(programs.items(), folders, strict=True):
            run(name, text, folder, given["data"].absolute(), alone)
        for file in ("submission.csv",) if alone else ("submission.csv", "oof.csv"):
            if all((folder / file).exists() for folder in folders):
                texts = [(folder / file).read_text("utf-8") for folder in folders]
                target = alone.get("out") or Path(file)
                target.write_text(weighted_mean(texts, weights, id, columns), "utf-8")


def run(name: str, text: str, folder: Path, data: Path, alone: Mapping[str, Path]) -> None:
    """Run one program in a folder that is made for it, with its own seed and folds; it ends this one where it fails."""
    if missing := [table for table in alone if f'"--{table}"' not in text]:
        sys.exit(f"program {name} takes no --{missing[0]}: it learns from and predicts the tables below {data}")
    folder.mkdir()
    (folder / "input").symlink_to(data, target_is_directory=True)
    (folder / "program.py").write_text(text, "utf-8")
    tables = {**alone, "out": Path("submission.csv")} if alone else {}
    asked = [sys.executable, "program.py", *(f"--{table}={path}" for table, path in tables.items())]
    kept = {k: v for k, v in os.environ.items() if k not in ("GOME_SEED", "GOME_PARTITION")}
    print(f"running {name}", flush=True)
    if code := subprocess.run(asked, cwd=folder, env=kept, check=False).returncode:
        sys.exit(f"program {name} ended with code {code}")
