"""Graders that competitions made for themselves: values computed by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from gome.plugins.tasks.mlebench.competitions import competition
from gome.plugins.tasks.mlebench.graders.checking import InvalidSubmission
from tests.plugins.tasks.mlebench.grading_tables import rows, score


def test_the_lower_band_of_the_curve_weighs_double() -> None:
    name = "alaska2-image-steganalysis"
    truth = rows("Id", "Label", [1, 1, 0, 0])
    assert score(name, rows("Id", "Label", [4, 3, 2, 1]), truth) == pytest.approx(1.0)
    assert score(name, rows("Id", "Label", [1, 2, 3, 4]), truth) == pytest.approx(0.0)
    # One even line: under it lie 0.4 · (1 − 0.2) and 0.6 · 0.3, weighed 2 and 1 and divided by 1.4.
    even = score(name, rows("Id", "Label", [1, 1, 1, 1]), truth)
    assert even == pytest.approx((2 * 0.4 * 0.8 + 0.6 * 0.3) / 1.4) and round(even, 5) == competition(name).sample_score


def test_bias_is_the_power_mean_of_areas() -> None:
    from gome.plugins.tasks.mlebench.graders.special import IDENTITIES

    name = "jigsaw-unintended-bias-in-toxicity-classification"
    toxic, about = [1.0, 0.0, 1.0, 0.0, 0.5, 0.1], [1.0, 0.6, 0.0, 0.0, 0.0, 0.9]
    truth = {"id": list(range(6)), "toxicity": toxic, **{one: about for one in IDENTITIES}}
    given_ = rows("id", "prediction", [0.9, 0.7, 0.8, 0.2, 0.4, 0.1], list(range(6)))
    # Cut at ½: 1 1 1 0 0 0 against 1 0 1 0 1 0. Overall: hits 2 of 3, false 1 of 3: (1 + 2/3 − 1/3) / 2 = 2/3.
    # Within: rows 0 1 5: hit rate 1, false ½: ¾. Not toxic within, toxic without: rows 1 2 4 5: ½ and ½: ½.
    # Toxic within, not toxic without: rows 0 3: 1. All identities are the same, so means are these values.
    assert score(name, given_, truth) == pytest.approx(0.25 * (2 / 3 + 3 / 4 + 1 / 2 + 1))
    assert score(name, {**given_, "prediction": [0.3] * 6}, truth) == competition(name).sample_score


def test_lungs_count_the_last_three_weeks() -> None:
    weeks = ["p_1", "p_2", "p_10", "p_11", "p_12"]
    truth = {"Patient_Week": weeks, "Patient": ["p"] * 5, "FVC": [np.nan, 1000.0, 2000.0, 3000.0, 4000.0]}
    given_ = {
        "Patient_Week": weeks[::-1],
        "FVC": [4100.0, 5000.0, 2000.0, 9.0, 9.0],
        "Confidence": [100.0, 200.0, 10.0, 1.0, 1.0],
    }
    # Week 12: off 100 at 100; week 11: off 2000, cut to 1000, at 200; week 10: off 0 at 70.
    terms = [math.sqrt(2) * off / at + math.log(math.sqrt(2) * at) for off, at in ((100, 100), (1000, 200), (0, 70))]
    assert score("osic-pulmonary-fibrosis-progression", given_, truth) == pytest.approx(-sum(terms) / 3)
    with pytest.raises(InvalidSubmission):
        score("osic-pulmonary-fibrosis-progression", {**given_, "Patient_Week": ["q_1"] * 5}, truth)


def test_correlations() -> None:
    name = "us-patent-phrase-to-phrase-matching"
    truth = rows("id", "score", [0.0, 0.5, 1.0])
    assert score(name, rows("id", "score", [1.0, 2.0, 2.0]), truth) == pytest.approx(math.sqrt(3) / 2)
    name = "google-quest-challenge"
    truth = {"qa_id": [1, 2, 3], "x": [1.0, 2.0, 3.0], "y": [1.0, 2.0, 3.0]}
    given_ = {"qa_id": [3, 2, 1], "x": [30.0, 20.0, 10.0], "y": [0.1, 0.9, 0.5]}
    # y ranks 1 2 3 as 2 3 1: 1 − 6 · (1 + 1 + 4) / (3 · 8)
    assert score(name, given_, truth) == pytest.approx((1 - 0.5) / 2)
    with pytest.raises(InvalidSubmission):
        score(name, {**given_, "z": [0, 0, 0]}, truth)


def test_angles_between_directions() -> None:
    truth = {"event_id": [1, 2], "azimuth": [0.0, 0.0], "zenith": [math.pi / 2, 0.0]}
    given_ = {"event_id": [2, 1], "azimuth": [1.0, math.pi / 2], "zenith": [math.pi, math.pi / 2]}
    assert score("icecube-neutrinos-in-deep-ice", given_, truth) == pytest.approx((math.pi / 2 + math.pi) / 2)
    with pytest.raises(InvalidSubmission):
        score("icecube-neutrinos-in-deep-ice", {**given_, "zenith": [math.inf, 0.0]}, truth)


def test_fractures_weigh_the_patient_seven_times_and_positives_twice() -> None:
    labels = ["patient_overall", "C1", "C2", "C3", "C4", "C5", "C6", "C7"]
    ids = [f"s1_{label}" for label in labels]
    name = "rsna-2022-cervical-spine-fracture-detection"
    truth = rows("row_id", "fractured", [1, 1, 0, 0, 0, 0, 0, 0], ids)
    given_ = rows("row_id", "fractured", [0.8, 0.5, *[0.1] * 6], ids)
    loss = -(14 * math.log(0.8) + 2 * math.log(0.5) + 6 * math.log(0.9)) / (14 + 2 + 6)
    assert score(name, given_, truth) == pytest.approx(loss)
    even = score(name, rows("row_id", "fractured", [0.5] * 8, ids), truth)
    assert round(even, 5) == competition(name).sample_score


def test_probabilities_count_as_shares_of_a_positive() -> None:
    # Positives get 0.5 and 1 (cut from 2), a negative 0.5: 2 · 1.5 / (2 + 2)
    truth = rows("prediction_id", "cancer", [1, 1, 0])
    assert score("rsna-breast-cancer-detection", rows("prediction_id", "cancer", [0.5, 2.0, 0.5]), truth) == 0.75
    assert score("rsna-breast-cancer-detection", rows("prediction_id", "cancer", [0.0, 0.0, 0.0]), truth) == 0.0


def test_divergence_from_votes() -> None:
    from gome.plugins.tasks.mlebench.graders.special import VOTES

    truth = {
        "eeg_id": [1, 2],
        **{name: [2 if place < 2 else 0, 1 if place == 0 else 0] for place, name in enumerate(VOTES)},
    }
    given_ = {
        "eeg_id": [1, 2],
        **{name: [0.25 if place < 4 else 0.0, 0.5 if place < 2 else 0.0] for place, name in enumerate(VOTES)},
    }
    # ½ ln(½ / ¼) twice, and ln(1 / ½)
    assert score("hms-harmful-brain-activity-classification", given_, truth) == pytest.approx(math.log(2))
    with pytest.raises(InvalidSubmission):
        score("hms-harmful-brain-activity-classification", {**given_, VOTES[0]: [0.3, 0.5]}, truth)


def test_label_ranking_weighs_each_label() -> None:
    truth = {"fname": ["a", "b", "c"], "x": [1, 0, 0], "y": [1, 1, 0], "z": [0, 0, 0]}
    given_ = {"fname": ["a", "b", "c"], "x": [0.9, 0.9, 0], "y": [0.1, 0.5, 0], "z": [0.5, 0.1, 0]}
    # a: x first 1, y third 2/3; b: y second 1/2; c has no label: (1 + 2/3 + 1/2) / 3
    assert score("freesound-audio-tagging-2019", given_, truth) == pytest.approx((1 + 2 / 3 + 1 / 2) / 3)
    with pytest.raises(InvalidSubmission):
        score("freesound-audio-tagging-2019", {"fname": ["a"] * 3, "y": [0] * 3, "x": [0] * 3, "z": [0] * 3}, truth)


def test_characters_are_points_in_boxes() -> None:
    truth = rows("image_id", "labels", ["U+1 0 0 10 10 U+2 20 20 10 10", np.nan, "U+3 0 0 5 5"])
    given_ = rows("image_id", "labels", ["U+1 5 5 U+2 5 5 U+1 6 6", "U+1 1 1", np.nan])
    # One hit of 4 points and 3 characters.
    assert score("kuzushiji-recognition", given_, truth) == pytest.approx(2 / 7)
    assert score("kuzushiji-recognition", rows("image_id", "labels", ["U+1 0 5", np.nan, np.nan]), truth) == 0.0
    with pytest.raises(ValueError):
        score("kuzushiji-recognition", rows("image_id", "labels", ["U+1 5", np.nan, np.nan]), truth)


def test_boxes_are_hits_when_more_than_half_is_common() -> None:
    truth = rows("id", "PredictionString", ["opacity 1 0 0 10 10", "none 1 0 0 1 1", "none 1 0 0 1 1"])
    given_ = rows(
        "id", "PredictionString", ["opacity 0.4 0 0 10 9", "opacity 0.8 0 0 9 9 none 0.9 0 0 1 1", "none 0.7 0 0 1 1"]
    )
    # opacity: 0.8 (wrong), 0.4 (right), 0 (wrong): precision ½ at full recall. none: right, right, wrong: 1.
    assert score("siim-covid19-detection", given_, truth) == pytest.approx((1 / 2 + 1) / 2)
    small = rows("id", "PredictionString", ["opacity 0.4 0 0 10 5", *given_["PredictionString"][1:]])
    # Exactly half is no hit: the true box joins as a positive with confidence 0, beside a negative of 0: 1 of 4.
    assert score("siim-covid19-detection", small, truth) == pytest.approx((1 / 4 + 1) / 2)


def test_positions_are_percentiles_of_metres_by_trip() -> None:
    degree = 2 * math.pi * 6_371_000 / 360
    truth = {
        "tripId": ["a", "a", "b"],
        "UnixTimeMillis": [1, 2, 1],
        "LatitudeDegrees": [0.0] * 3,
        "LongitudeDegrees": [0.0] * 3,
    }
    given_ = {**truth, "LatitudeDegrees": [0.001, 0.003, 0.002]}
    # a: 1 and 3 thousandths of a degree: median 2, 95th percentile 2.9; b: 2.
    expected = degree / 1000 * (((2 + 2.9) / 2) + 2) / 2
    assert score("smartphone-decimeter-2022", given_, truth) == pytest.approx(expected, rel=1e-9)
    with pytest.raises(InvalidSubmission):
        score("smartphone-decimeter-2022", {**given_, "tripId": ["a", "b", "b"]}, truth)
