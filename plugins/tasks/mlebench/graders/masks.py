"""Graders of segmentations: run-length encoded masks compared by overlap, precision or distance.

A run-length encoding is pairs of a start and a length; pixels are numbered from 1, down columns first.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

import numpy as np
import pandas as pd
from scipy.spatial.distance import directed_hausdorff

from gome.plugins.tasks.mlebench.graders.checking import Array, InvalidSubmission, aligned, filled, need, same_length


def decode(text: object, height: int, width: int) -> Array:
    """The mask of an encoding, shape (height, width). `InvalidSubmission` where starts fall, runs overlap, or a number
    is not above 0; a last start without a length is ignored, and so is what reaches beyond the image."""
    if not isinstance(text, str):
        raise InvalidSubmission("an encoding is a text of numbers separated by spaces")
    numbers = [int(word) for word in text.split()]
    starts, lengths = numbers[::2], numbers[1::2]
    if starts != sorted(starts) or any(number <= 0 for number in numbers):
        raise InvalidSubmission("the runs of an encoding are sorted, their starts and lengths above 0")
    flat = np.zeros(height * width, dtype=bool)
    for start, length in zip(starts, lengths, strict=False):
        run = flat[start - 1 : start - 1 + length]
        if run.any():
            raise InvalidSubmission("the runs of an encoding do not overlap")
        run[:] = True
    return flat.reshape((width, height)).T


def dice(first: Array, second: Array, both_empty: float) -> float:
    """Twice the common part over the sum of both sizes; `both_empty` where there is neither."""
    total = int(first.sum()) + int(second.sum())
    return 2 * int((first & second).sum()) / total if total else both_empty


def kidneys(submission: pd.DataFrame, answers: pd.DataFrame) -> float:
    """Mean Dice of whole images; two empty masks agree."""
    mine, theirs = aligned(submission, answers, "id", ("predicted",))
    values = []
    for given, truth, height, width in zip(
        filled(mine["predicted"]), theirs["encoding"], theirs["height_pixels"], theirs["width_pixels"], strict=True
    ):
        values.append(dice(decode(given, int(height), int(width)), decode(truth, int(height), int(width)), 1.0))
    return float(np.mean(values))


def contrails(submission: pd.DataFrame, answers: pd.DataFrame) -> float:
    """Dice of all pixels of all records together; `-` is an empty mask. NaN where nothing is marked at all."""
    mine, theirs = aligned(submission, answers, "record_id", ("encoded_pixels",))
    both = marked = 0
    for given, truth, height, width in zip(
        mine["encoded_pixels"].replace("-", ""),
        theirs["encoded_pixels"].replace("-", ""),
        theirs["height"],
        theirs["width"],
        strict=True,
    ):
        first, second = decode(given, int(height), int(width)), decode(truth, int(height), int(width))
        both += int((first & second).sum())
        marked += int(first.sum()) + int(second.sum())
    return 2 * both / marked if marked else float("nan")


SALT = 101
"""Height and width of the images of salt."""


def salt(submission: pd.DataFrame, answers: pd.DataFrame) -> float:
    """Mean share of the thresholds 0.50, 0.55 … 0.95 that the overlap of a mask exceeds.

    The original counts pixels in two equal bins between the smallest and the largest value: where an empty mask is
    given for one that is not, all its pixels fall into the upper bin, as if the whole image were marked.
    """
    need(submission, ("id", "rle_mask"), exactly=True)
    mine, theirs = aligned(submission, answers, "id", ("rle_mask",))
    if not all(isinstance(value, str) for value in mine["id"]):
        raise InvalidSubmission("ids and masks are texts")
    cuts = np.arange(0.5, 1.0, 0.05)
    values = []
    for given, truth in zip(mine["rle_mask"].fillna(""), theirs["rle_mask"].fillna(""), strict=True):
        guessed, right = decode(given, SALT, SALT), decode(truth, SALT, SALT)
        if not right.any():
            values.append(float(not guessed.any()))
            continue
        if not guessed.any():
            guessed = np.ones_like(guessed)
        values.append(float(np.mean((guessed & right).sum() / (guessed | right).sum() > cuts)))
    return float(np.mean(values))


def ink(submission: pd.DataFrame, answers: pd.DataFrame) -> float:
    """Mean F0.5 of fragments, compared by position; these encodings run along rows first."""
    same_length(submission, answers)
    need(submission, ("Id", "Predicted"), exactly=True)
    values = []
    for given, truth in zip(submission.to_dict("records"), answers.to_dict("records"), strict=True):
        if given["Id"] != truth["Id"]:
            raise InvalidSubmission("rows do not stand in the order of the sample submission")
        height, width = int(truth["height"]), int(truth["width"])
        guessed, right = decode(given["Predicted"], width, height), decode(truth["Predicted"], width, height)
        hits = int((guessed & right).sum())
        weighed = 0.25 * int(right.sum()) + int(guessed.sum())
        values.append(1.25 * hits / weighed if weighed else 0.0)
    return float(np.mean(values))


def guts(submission: pd.DataFrame, answers: pd.DataFrame) -> float:
    """0.4 · Dice of slices + 0.6 · (1 − Hausdorff distance of scans); rows are compared by position."""
    need(submission, ("id", "class", "predicted"))
    shapes = list(zip(answers["image_height"].astype(int), answers["image_width"].astype(int), strict=True))
    given = [decode(text, *shape) for text, shape in zip(filled(submission["predicted"]), shapes, strict=False)]
    truth = [decode(text, *shape) for text, shape in zip(filled(answers["predicted"]), shapes, strict=True)]
    overlap = [dice(a, b, float("nan")) for a, b in zip(given, truth, strict=False)]
    scans = zip(_scans(given, list(submission["id"])), _scans(truth, list(answers["id"])), strict=False)
    return float(0.4 * np.nanmean(overlap) + 0.6 * (1 - np.nanmean([_hausdorff(a, b) for a, b in scans])))


def _scans(masks: Sequence[Array], slices: Sequence[str]) -> list[Array]:
    """Masks of one slice united, slices of one day stacked: shape (slices, height, width) for each case and day."""
    ordered = sorted(zip(slices, masks, strict=False), key=lambda pair: pair[0])
    united = [
        (name, np.logical_or.reduce([mask for _, mask in same]))
        for name, same in groupby(ordered, key=lambda pair: pair[0])
    ]
    days = groupby(united, key=lambda pair: pair[0].split("_slice_")[0])
    return [np.stack([mask for _, mask in same]) for _, same in days]


def _hausdorff(guessed: Array, right: Array) -> float:
    """Largest distance to the nearest marked point, in a unit cube and as a share of its diagonal.

    NaN where both are empty, 1 where one is, and 1 without looking where more than ten times too much is marked.
    """
    marked, true = int(guessed.sum()), int(right.sum())
    if not marked and not true:
        return float("nan")
    if np.array_equal(guessed, right):
        return 0.0
    if not marked or not true or marked > 10 * true:
        return 1.0
    a, b = (np.argwhere(mask) / np.array(right.shape) for mask in (right, guessed))
    return float(max(directed_hausdorff(a, b)[0], directed_hausdorff(b, a)[0]) / np.sqrt(3))
