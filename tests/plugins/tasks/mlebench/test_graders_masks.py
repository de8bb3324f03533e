"""Graders of segmentations: values computed by hand, and one against the histograms of the original."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gome.plugins.tasks.mlebench.graders.checking import InvalidSubmission
from gome.plugins.tasks.mlebench.graders.masks import decode
from tests.plugins.tasks.mlebench.grading_tables import rows, score


def test_a_mask_runs_down_columns() -> None:
    assert decode("1 2 5 1", 2, 3).astype(int).tolist() == [[1, 0, 1], [1, 0, 0]]
    assert decode("", 2, 2).sum() == 0 and decode("4 9", 2, 2).sum() == 1
    for wrong in ("3 1 1 1", "0 1", "1 -1", "1 3 2 1", np.nan, "a 1"):
        with pytest.raises(ValueError):
            decode(wrong, 2, 3)


def test_dice_of_images_and_of_all_pixels() -> None:
    shape = {"height_pixels": [2, 2], "width_pixels": [2, 2]}
    truth = {"id": ["a", "b"], "encoding": ["1 2", ""], **shape}
    # Half of two pixels common: 2 · 1 / 4; two empty masks agree.
    assert (
        score(
            "hubmap-kidney-segmentation",
            rows("id", "predicted", [np.nan, "2 2"], ["b", "a"]),
            {**truth, "encoding": ["1 2", ""]},
        )
        == 0.75
    )
    name = "google-research-identify-contrails-reduce-global-warming"
    answers = {"record_id": [1, 2], "encoded_pixels": ["1 2", "-"], "height": [2, 2], "width": [2, 2]}
    assert score(name, rows("record_id", "encoded_pixels", ["1 1", "2 2"], [2, 1]), answers) == pytest.approx(
        2 / (3 + 2)
    )
    assert math.isnan(
        score(name, rows("record_id", "encoded_pixels", ["-", "-"], [1, 2]), {**answers, "encoded_pixels": ["-", "-"]})
    )
    with pytest.raises(InvalidSubmission):
        score(name, rows("record_id", "encoded_pixels", [np.nan, "-"], [1, 2]), answers)


def binned(guessed: Any, right: Any) -> float:
    """Precision of salt by numpy's histograms, which the original counts pixels with."""
    if not right.any():
        return float(not guessed.any())
    a, b = right.astype(int).ravel(), guessed.astype(int).ravel()
    both = np.histogram2d(a, b, bins=(2, 2))[0][1, 1]
    united = np.histogram(a, bins=2)[0][1] + np.histogram(b, bins=2)[0][1] - both
    return float(np.mean([both / united > cut for cut in np.arange(0.5, 1.0, 0.05)]))


@given(st.integers(0, 101 * 101), st.integers(1, 101 * 101), st.integers(0, 60))
def test_precision_of_salt_is_that_of_histograms(length: int, true: int, gap: int) -> None:
    guess = f"{gap + 1} {length}" if length else ""
    found = score(
        "tgs-salt-identification-challenge", rows("id", "rle_mask", [guess]), rows("id", "rle_mask", [f"1 {true}"])
    )
    assert found == pytest.approx(binned(decode(guess, 101, 101), decode(f"1 {true}", 101, 101)))


def test_precision_of_salt_by_hand() -> None:
    name = "tgs-salt-identification-challenge"
    truth = rows("id", "rle_mask", ["1 100", np.nan, np.nan])
    # 100 of 130 pixels: 0.769… exceeds 0.50 … 0.75, six of ten; two empty masks; a mask where there is none.
    assert score(name, rows("id", "rle_mask", ["1 130", np.nan, "5 5"]), truth) == pytest.approx((0.6 + 1 + 0) / 3)
    with pytest.raises(InvalidSubmission):
        score(name, {**rows("id", "rle_mask", ["1 130", "", ""]), "extra": [0] * 3}, truth)


def test_ink_runs_along_rows_and_keeps_the_order() -> None:
    truth = {"Id": ["a", "b"], "Predicted": ["1 2", "1 4"], "width": [3, 2], "height": [2, 2]}
    # a: 1 of 2 found with 3 marked: 1.25 / (0.25 · 2 + 3); b: all.
    given_ = rows("Id", "Predicted", ["2 3", "1 4"])
    assert score("vesuvius-challenge-ink-detection", given_, truth) == pytest.approx((1.25 / 3.5 + 1) / 2)
    with pytest.raises(InvalidSubmission):
        score("vesuvius-challenge-ink-detection", rows("Id", "Predicted", ["1 4", "2 3"], ["b", "a"]), truth)


def test_guts_mix_overlap_and_distance() -> None:
    names = ["case1_day1_slice_0001", "case1_day1_slice_0001", "case1_day1_slice_0002"]
    shape = {"image_height": [2.0] * 3, "image_width": [2.0] * 3}
    organs = ["stomach", "large_bowel", "stomach"]
    truth = {"id": names, "class": organs, "predicted": ["1 1", np.nan, "1 1"], **shape}
    given_ = {"id": names, "class": organs, "predicted": ["1 1", np.nan, "4 1"]}
    # Slices: 1 and 0, the one that both leave empty is skipped. The scan: points (0,0,0), (1,0,0) against (0,0,0),
    # (1,1,1) in a cube of 2 · 2 · 2: farthest is (1,1,1) from (1,0,0), √(½² + ½²), as a share of √3.
    distance = math.sqrt(0.5) / math.sqrt(3)
    found = score("uw-madison-gi-tract-image-segmentation", given_, truth)
    assert found == pytest.approx(0.4 * 0.5 + 0.6 * (1 - distance))
    assert score("uw-madison-gi-tract-image-segmentation", {one: truth[one] for one in given_}, truth) == 1.0
