"""Sees that a running execution is hopeless: the scores of the folds that it has finished, against its limits' bar.

A program may append a line `fold,score` to `partial_scores.csv` in its working folder whenever a fold is finished. It
writes while we read and may write anything, so only a plain small file is read, and lines that are no scores count for
nothing; nothing else believes this file.
"""

from __future__ import annotations

import math
import os
from pathlib import Path

from gome.events import Bar
from gome.plugins.runner.sandbox.outputs import open_plain

NAME = "partial_scores.csv"
MOST = 64 << 10
"""Bytes that the file may have."""
FOLDS = 2
"""Folds at least that must be finished before anything is concluded."""


def read_partial(data: bytes) -> dict[int, float]:
    """Scores by fold, the last line of each; what is no line `fold,score` (a header, one still being written) is
    skipped."""
    found = {}
    for line in data.decode("utf-8", "replace").split("\n")[:-1]:
        fold, _, score = line.partition(",")
        try:
            number, value = int(fold), float(score)
        except ValueError:
            continue
        if math.isfinite(value):
            found[number] = value
    return found


def hopeless(bar: Bar, scores: dict[int, float]) -> bool:
    """Whether enough folds are finished, all of them worse than the bar by more than its margin."""
    known = {fold: score for fold, score in scores.items() if 0 <= fold < len(bar.folds)}
    if len(known) < FOLDS:
        return False
    sign = 1.0 if bar.greater else -1.0
    return all(sign * (bar.folds[fold] - score) > bar.margin for fold, score in known.items())


def below(bar: Bar, box: Path) -> bool:
    """Whether the execution in this working folder is hopeless by now."""
    try:
        fd = open_plain(box, NAME, MOST)
    except OSError:
        return False
    try:
        return hopeless(bar, read_partial(os.read(fd, MOST)))
    finally:
        os.close(fd)
