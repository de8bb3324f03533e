"""Graders of columns: values computed by hand, and what makes a submission invalid."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from gome.plugins.tasks.mlebench.competitions import competition, competitions
from gome.plugins.tasks.mlebench.graders import UNSUPPORTED, graders
from gome.plugins.tasks.mlebench.graders.by_competition import CATHETERS
from gome.plugins.tasks.mlebench.graders.checking import InvalidSubmission
from tests.plugins.tasks.mlebench.grading_tables import Table, rows, score


def test_every_competition_has_a_grader_or_a_reason() -> None:
    assert {*graders(), *UNSUPPORTED} == set(competitions()) and not set(graders()) & set(UNSUPPORTED)
    assert len(graders()) == 80


SIMPLE_AUC = {
    "aerial-cactus-identification": ("id", "has_cactus"),
    "detecting-insults-in-social-commentary": ("Comment", "Insult"),
    "histopathologic-cancer-detection": ("id", "label"),
    "mlsp-2013-birds": ("Id", "Probability"),
    "random-acts-of-pizza": ("request_id", "requester_received_pizza"),
    "siim-isic-melanoma-classification": ("image_name", "target"),
    "tabular-playground-series-may-2022": ("id", "target"),
    "the-icml-2013-whale-challenge-right-whale-redux": ("clip", "probability"),
    "seti-breakthrough-listen": ("id", "target"),
    "rsna-miccai-brain-tumor-radiogenomic-classification": ("BraTS21ID", "MGMT_value"),
    "invasive-species-monitoring": ("name", "invasive"),
}


@pytest.mark.parametrize(("name", "columns"), SIMPLE_AUC.items(), ids=list(SIMPLE_AUC))
def test_area_under_the_curve(name: str, columns: tuple[str, str]) -> None:
    # Of the 2 · 2 pairs of a positive and a negative, three are in order: (.9 > .1), (.9 > .5), (.4 > .1).
    answers = rows(*columns, [1, 0, 1, 0])
    assert score(name, rows(*columns, [0.5, 0.4, 0.1, 0.9], ["d", "c", "b", "a"]), answers) == 0.75
    assert score(name, rows(*columns, [0.3] * 4), answers) == 0.5
    for wrong in (
        rows(*columns, [0.5, 0.4, 0.1, 1.1]),
        rows(*columns, [-0.1, 0.4, 0.1, 0.9]),
        rows(*columns, [0.5, 0.4, 0.1]),
        rows(*columns, [0.5, 0.4, 0.1, 0.2], ["a", "b", "c", "x"]),
        rows(columns[0], "other", [0.5, 0.4, 0.1, 0.2]),
        rows("other", columns[1], [0.5, 0.4, 0.1, 0.2]),
    ):
        with pytest.raises(InvalidSubmission):
            score(name, wrong, answers)
    with pytest.raises(ValueError):
        score(name, rows(*columns, [0.5, 0.4, 0.1, np.nan]), answers)


SEVERAL_AUC = {
    "ranzcr-clip-catheter-line-classification": ("StudyInstanceUID", list(CATHETERS)),
    "plant-pathology-2020-fgvc7": ("image_id", ["healthy", "multiple_diseases", "rust", "scab"]),
    "playground-series-s3e18": ("id", ["EC1", "EC2"]),
    "jigsaw-toxic-comment-classification-challenge": (
        "id",
        ["toxic", "severe_toxic", "obscene", "threat", "insult", "identity_hate"],
    ),
}


@pytest.mark.parametrize(("name", "columns"), SEVERAL_AUC.items(), ids=list(SEVERAL_AUC))
def test_mean_of_the_areas_of_several_columns(name: str, columns: tuple[str, list[str]]) -> None:
    key, targets = columns
    answers = {key: list("abcd"), **{target: [1, 0, 1, 0] for target in targets}}
    # The first column has the area 0.75, all others 1.
    given_ = {key: list("dcba"), **{target: [0.1, 0.8, 0.2, 0.9] for target in targets}}
    given_[targets[0]] = [0.5, 0.4, 0.1, 0.9]
    assert score(name, given_, answers) == pytest.approx(1 - 0.25 / len(targets))
    with pytest.raises(InvalidSubmission):
        score(name, {one: values for one, values in given_.items() if one != targets[-1]}, answers)


def test_toxic_comments_without_labels_are_not_scored() -> None:
    labels = SEVERAL_AUC["jigsaw-toxic-comment-classification-challenge"][1]
    answers = {"id": list("abc"), **{label: [1, 0, -1] for label in labels}}
    given_ = {"id": list("abc"), **{label: [0.9, 0.1, 0.0] for label in labels}}
    assert score("jigsaw-toxic-comment-classification-challenge", given_, answers) == 1.0


EXACT = {
    "cassava-leaf-disease-classification": ("image_id", "label", [1, 2, 3, 3]),
    "cdiscount-image-classification-challenge": ("_id", "category_id", [1, 2, 3, 3]),
    "iwildcam-2020-fgvc7": ("Id", "Category", [1, 2, 3, 3]),
    "tabular-playground-series-dec-2021": ("Id", "Cover_Type", [1, 2, 3, 3]),
    "tensorflow-speech-recognition-challenge": ("fname", "label", ["yes", "no", "up", "up"]),
    "ml2021spring-hw2": ("Id", "ClassId", [1, 2, 3, 3]),
    "movie-review-sentiment-analysis-kernels-only": ("PhraseId", "Sentiment", [1, 2, 3, 3]),
    "paddy-disease-classification": ("image_id", "label", ["blast", "hispa", "normal", "normal"]),
    "plant-seedlings-classification": ("file", "species", ["Maize", "Charlock", "Cleavers", "Cleavers"]),
    "spaceship-titanic": ("PassengerId", "Transported", [True, False, True, True]),
    "text-normalization-challenge-english-language": ("id", "after", ["one", "2", "three", "three"]),
    "text-normalization-challenge-russian-language": ("id", "after", ["раз", "2", "три", "три"]),
}


@pytest.mark.parametrize(("name", "columns"), EXACT.items(), ids=list(EXACT))
def test_share_of_rows_that_are_right(name: str, columns: tuple[str, str, list[Any]]) -> None:
    key, target, truth = columns
    guessed = [truth[3], truth[2], truth[1], truth[1]]  # for d, c, b, a: only a is wrong
    answers = rows(key, target, truth)
    assert score(name, rows(key, target, guessed, list("dcba")), answers) == 0.75
    with pytest.raises(InvalidSubmission):
        score(name, rows(key, target, guessed[:3]), answers)
    with pytest.raises(InvalidSubmission):
        score(name, rows(key, target, guessed, list("abcc")), answers)


def test_a_missing_label_of_paddy_is_a_wrong_one_and_a_missing_text_is_nan() -> None:
    truth = rows("image_id", "label", ["blast", "normal"])
    assert score("paddy-disease-classification", rows("image_id", "label", ["blast", np.nan]), truth) == 0.5
    name = "text-normalization-challenge-english-language"
    assert score(name, rows("id", "after", [np.nan, "b"]), rows("id", "after", ["nan", "b"])) == 1.0


def test_top1_error_takes_the_first_of_a_list() -> None:
    answers = rows("id", "predicted", [3, 4, 5, 6])
    name = "inaturalist-2019-fgvc6"
    assert score(name, rows("id", "predicted", ["3 1", "1 4", "5", "6 6 6"]), answers) == 0.25
    assert score(name, rows("id", "predicted", [3, 4, 1, 1]), answers) == 0.5


@pytest.mark.parametrize(
    ("name", "key", "target"),
    [
        ("herbarium-2020-fgvc7", "Id", "Predicted"),
        ("herbarium-2021-fgvc8", "Id", "Predicted"),
        ("herbarium-2022-fgvc9", "Id", "Predicted"),
        ("iwildcam-2019-fgvc6", "Id", "Category"),
    ],
)
def test_macro_f1(name: str, key: str, target: str) -> None:
    # Class 0: 1 hit, 1 false, 1 missed: 1/2. Class 1: 1 hit, 1 false: 2/3. Class 2: 1 hit, 1 missed: 2/3.
    answers, given_ = [0, 0, 1, 2, 2], [0, 1, 1, 2, 0]
    assert score(name, rows(key, target, given_), rows(key, target, answers)) == pytest.approx(
        (1 / 2 + 2 / 3 + 2 / 3) / 3
    )


@pytest.mark.parametrize(
    ("name", "key", "target"),
    [
        ("aptos2019-blindness-detection", "id_code", "diagnosis"),
        ("learning-agency-lab-automated-essay-scoring-2", "essay_id", "score"),
    ],
)
def test_quadratic_kappa(name: str, key: str, target: str) -> None:
    # Squared distances: observed 0 + 1 + 0 + 4 = 5; by chance Σ n(i) m(j) (i − j)² / 4 of true 1 1 2 3, given 1 2 2 1:
    # true 1 (2): given 1 twice, 2 twice → 2 · 2 · 1 = 4; true 2: 2 · 1 = 2; true 3: 2 · 4 + 2 · 1 = 10; 16 / 4 = 4.
    truth, given_ = rows(key, target, [1, 1, 2, 3]), rows(key, target, [1, 2, 2, 1])
    assert score(name, given_, truth) == pytest.approx(1 - 5 / 4)
    assert score(name, truth, truth) == 1.0
    with pytest.raises(InvalidSubmission):
        score(name, rows(key, target, [1, 2, 2, 1], list("abcx")), truth)
    with pytest.raises(ValueError):
        score(name, rows(key, target, [1.2, 2.5, 2.1, 1.0]), truth)


def test_matthews_correlation() -> None:
    # tp 2, tn 1, fp 1, fn 1: (2·1 − 1·1) / √(3 · 3 · 2 · 2)
    truth, given_ = [1, 1, 1, 0, 0], [1, 1, 0, 1, 0]
    found = score(
        "nfl-player-contact-detection", rows("contact_id", "contact", given_), rows("contact_id", "contact", truth)
    )
    assert found == pytest.approx(1 / 6)


@pytest.mark.parametrize(
    ("name", "target"),
    [("dogs-vs-cats-redux-kernels-edition", "label"), ("statoil-iceberg-classifier-challenge", "is_iceberg")],
)
def test_binary_log_loss(name: str, target: str) -> None:
    truth = rows("id", target, [1, 0], [1, 2])
    assert score(name, rows("id", target, [0.2, 0.8], [2, 1]), truth) == pytest.approx(-math.log(0.8))
    assert round(score(name, rows("id", target, [0.5, 0.5], [1, 2]), truth), 5) == competition(name).sample_score
    for wrong in ([1.5, 0.5], [np.nan, 0.5]):
        with pytest.raises(InvalidSubmission):
            score(name, rows("id", target, wrong, [1, 2]), truth)


def hot(key: str, classes: list[str], truth: list[int]) -> Table:
    """One 0/1 column per class."""
    return {key: list(range(len(truth))), **{name: [int(t == c) for t in truth] for c, name in enumerate(classes)}}


CLASSES = {
    "dog-breed-identification": [f"dog{i}" for i in range(120)],
    "leaf-classification": [f"leaf{i}" for i in range(99)],
    "spooky-author-identification": ["EAP", "HPL", "MWS"],
    "lmsys-chatbot-arena": ["winner_model_a", "winner_model_b", "winner_tie"],
}


@pytest.mark.parametrize(("name", "classes"), CLASSES.items(), ids=list(CLASSES))
def test_log_loss_of_classes(name: str, classes: list[str]) -> None:
    truth = hot("id", classes, [0, 1, 2])
    even: Table = {"id": [0, 1, 2], **{one: [1 / len(classes)] * 3 for one in classes}}
    assert score(name, even, truth) == pytest.approx(math.log(len(classes)))
    if name != "spooky-author-identification":  # its sample is not even
        assert round(score(name, even, truth), 5) == competition(name).sample_score
    likely = {**even, **{one: [0.1 / (len(classes) - 1)] * 3 for one in classes}, classes[0]: [0.9] * 3}
    expected = -(math.log(0.9) + 2 * math.log(0.1 / (len(classes) - 1))) / 3
    assert score(name, likely, truth) == pytest.approx(expected)
    for wrong in (
        {**even, classes[0]: [0.5] * 3},
        {**even, classes[0]: [1.2] * 3, classes[1]: [1 / len(classes) * 2 - 1.2] * 3},
        {**even, "id": [0, 1, 3]},
        {one: values[:2] for one, values in even.items()},
        {one: values for one, values in even.items() if one != classes[1]},
    ):
        with pytest.raises(InvalidSubmission):
            score(name, wrong, truth)


def test_leaf_and_spooky_refuse_extra_columns_and_arena_does_not() -> None:
    for name in ("leaf-classification", "spooky-author-identification", "lmsys-chatbot-arena"):
        classes = CLASSES[name]
        even: Table = {"id": [0], **{one: [1 / len(classes)] for one in classes}, "note": [0.0]}
        if name == "lmsys-chatbot-arena":
            assert score(name, even, hot("id", classes, [0])) == pytest.approx(math.log(3))
        else:
            with pytest.raises(InvalidSubmission):
                score(name, even, hot("id", classes, [0]))


def test_root_mean_squared_errors() -> None:
    truth, given_ = [0.0, 1.0, 0.5], [0.0, 0.4, 1.3]  # √((0 + .36 + .64) / 3)
    expected = pytest.approx(math.sqrt(1 / 3))
    name = "denoising-dirty-documents"
    assert score(name, rows("id", "value", given_[::-1], list("cba")), rows("id", "value", truth)) == expected
    with pytest.raises(ValueError):
        score(name, rows("id", "value", ["x", "1", "0"]), rows("id", "value", truth))
    name = "new-york-city-taxi-fare-prediction"
    other = rows("key", "fare_amount", given_, ["x1", "x2", "x3"])  # other keys: sorted and compared all the same
    assert score(name, other, rows("key", "fare_amount", truth)) == expected
    name = "petfinder-pawpularity-score"
    assert score(name, rows("Id", "Pawpularity", [10, 20]), rows("Id", "Pawpularity", [13, 24])) == pytest.approx(
        math.sqrt((9 + 16) / 2)
    )
    with pytest.raises(InvalidSubmission):
        score(name, rows("Id", "Pawpularity", [0.5, 20]), rows("Id", "Pawpularity", [13, 24]))


def test_crystals_are_compared_by_position_whatever_their_ids() -> None:
    e = math.e
    truth = {"id": [1, 2], "formation_energy_ev_natom": [e - 1, 0.0], "bandgap_energy_ev": [0.0, 0.0]}
    given_ = {"id": [9, 9], "formation_energy_ev_natom": [0.0, 0.0], "bandgap_energy_ev": [e**3 - 1, 0.0]}
    # Logarithms are off by 1 and 0, and by 3 and 0.
    found = score("nomad2018-predict-transparent-conductors", given_, truth)
    assert found == pytest.approx((math.sqrt(1 / 2) + math.sqrt(9 / 2)) / 2)
    with pytest.raises(ValueError):
        score("nomad2018-predict-transparent-conductors", {**given_, "bandgap_energy_ev": [-2.0, 0.0]}, truth)


def test_pressure_counts_while_air_flows_in() -> None:
    truth = {"id": [1, 2, 3], "u_out": [0, 1, 0], "pressure": [5.0, 5.0, 5.0]}
    assert score("ventilator-pressure-prediction", rows("id", "pressure", [9.0, 0.0, 7.0], [3, 2, 1]), truth) == 3.0


def test_eruptions_are_graded_to_whole_numbers() -> None:
    truth = rows("segment_id", "time_to_eruption", [10, 20, 30])
    assert (
        score("predict-volcanic-eruptions-ingv-oe", rows("segment_id", "time_to_eruption", [11, 21, 29.1]), truth)
        == 1.0
    )


def test_couplings_are_logarithms_by_type() -> None:
    truth = {"id": [1, 2, 3], "type": ["1JHC", "1JHC", "2JHH"], "scalar_coupling_constant": [1.0, 2.0, 3.0]}
    given_ = rows("id", "scalar_coupling_constant", [5.0, 4.0, 2.0], [3, 2, 1])
    # Errors 1 and 2 in the first type, 2 in the other.
    assert score("champs-scalar-coupling", given_, truth) == pytest.approx((math.log(1.5) + math.log(2)) / 2)


def test_vaccine_rows_are_kept_by_place_and_three_columns_count() -> None:
    names = ["reactivity", "deg_Mg_pH10", "deg_pH10", "deg_Mg_50C", "deg_50C"]
    truth: Table = {
        "id_seqpos": ["a_0", "a_1", "b_0"],
        **{name: [0.0] * 3 for name in names},
        "keep": [True, True, False],
    }
    given_: Table = {"id_seqpos": ["a_0", "a_1", "b_0"], **{name: [3.0, 4.0, 100.0] for name in names}}
    expected = math.sqrt((9 + 16) / 2)
    assert score("stanford-covid-vaccine", {**given_, "deg_50C": [99.0] * 3}, truth) == pytest.approx(expected)
    with pytest.raises(InvalidSubmission):
        score("stanford-covid-vaccine", {one: v for one, v in given_.items() if one != "deg_50C"}, truth)
