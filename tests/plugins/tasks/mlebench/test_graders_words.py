"""Graders of texts: values computed by hand, and the distance against its table."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gome.plugins.tasks.mlebench.graders.checking import InvalidSubmission
from gome.plugins.tasks.mlebench.graders.words import edit_distance
from tests.plugins.tasks.mlebench.grading_tables import Table, rows, score


def slow_distance(a: str, b: str) -> int:
    """The table of distances, row by row."""
    before = list(range(len(b) + 1))
    for place, x in enumerate(a, 1):
        row = [place]
        for column, y in enumerate(b, 1):
            row.append(min(before[column] + 1, row[-1] + 1, before[column - 1] + (x != y)))
        before = row
    return before[-1]


@given(st.text("abc", max_size=90), st.text("abcd", max_size=90))
def test_edit_distance_is_that_of_the_table(a: str, b: str) -> None:
    assert edit_distance(a, b) == slow_distance(a, b)


def test_distances_between_texts() -> None:
    truth, given_ = ["kitten", "abc"], ["sitting", "abc"]  # 3 and 0
    for name, key, target in (
        ("bms-molecular-translation", "image_id", "InChI"),
        ("billion-word-imputation", "id", "sentence"),
    ):
        found = score(name, rows(key, target, given_[::-1], ["b", "a"]), rows(key, target, truth))
        assert found == 1.5
    with pytest.raises(InvalidSubmission):
        score("billion-word-imputation", rows("id", "sentence", ["x", np.nan]), rows("id", "sentence", truth))
    found = score(
        "multi-modal-gesture-recognition",
        rows("Id", "Sequence", ["2 3 9", "11"], [1, 2]),
        rows("Id", "Sequence", ["2 12 3", "11 4"], [1, 2]),
    )
    assert found == pytest.approx((2 + 1) / 5)  # 12 and 11 are gestures, not digits


def test_common_words() -> None:
    truth, given_ = ["Good day to you", "bad"], ["good DAY", "worse"]  # 2 of 4, 0 of 2
    name = "chaii-hindi-and-tamil-question-answering"
    assert score(name, rows("id", "PredictionString", given_), rows("id", "PredictionString", truth)) == 0.25
    assert score(name, rows("id", "PredictionString", [np.nan] * 2), rows("id", "PredictionString", truth)) == 0.0
    name = "tweet-sentiment-extraction"
    assert score(name, rows("textID", "selected_text", given_), rows("textID", "selected_text", truth)) == 0.25
    with pytest.raises(InvalidSubmission):
        score(name, rows("textID", "selected_text", [np.nan, "a"]), rows("textID", "selected_text", [np.nan, "a"]))


@pytest.mark.parametrize(
    ("name", "key", "target"),
    [
        ("facebook-recruiting-iii-keyword-extraction", "Id", "Tags"),
        ("imet-2020-fgvc7", "id", "attribute_ids"),
        ("plant-pathology-2021-fgvc8", "image", "labels"),
    ],
)
def test_tags(name: str, key: str, target: str) -> None:
    truth, given_ = ["a b", "c"], ["a c never", np.nan]  # hits: a; wrong: c; missed: b, c; `never` costs nothing
    assert score(name, rows(key, target, given_), rows(key, target, truth)) == pytest.approx(2 / (2 + 1 + 2))


@pytest.mark.parametrize(
    ("name", "key", "target"),
    [
        ("hotel-id-2021-fgvc8", "image", "hotel_id"),
        ("whale-categorization-playground", "Image", "Id"),
        ("h-and-m-personalized-fashion-recommendations", "customer_id", "prediction"),
    ],
)
def test_mean_average_precision(name: str, key: str, target: str) -> None:
    # Second place: 1/2. Repeated: the second 7 is no hit. Never: 0.
    given_ = rows(key, target, ["1 5 2", "7 7 7", "1 2 3 4 6"])
    assert score(name, given_, rows(key, target, ["5", "7", "9"])) == pytest.approx((1 / 2 + 1 + 0) / 3)


def test_a_customer_is_recommended_twelve_articles_and_more_customers_are_allowed() -> None:
    name = "h-and-m-personalized-fashion-recommendations"
    answers = rows("customer_id", "prediction", ["3 14"])
    twelve = " ".join(map(str, range(2, 16)))  # 3 at place 2, 14 beyond the twelfth
    assert score(name, rows("customer_id", "prediction", [twelve, "1"]), answers) == pytest.approx((1 / 2) / 2)
    with pytest.raises(InvalidSubmission):
        score(name, rows("customer_id", "prediction", ["1"], ["z"]), answers)


def test_orders_of_cells() -> None:
    answers = rows("id", "cell_order", ["a b c d", "x y"])
    # d first: 3 inversions of 4 cells, and the pair turned round: 1 − 4 · 4 / (12 + 2)
    assert score("AI4Code", rows("id", "cell_order", ["d a b c", "y x"]), answers) == pytest.approx(1 - 16 / 14)
    assert score("AI4Code", rows("id", "cell_order", ["a b c d", "x y"]), answers) == 1.0
    for wrong in ("a b c", "a b c c", "a b c z"):
        with pytest.raises(InvalidSubmission):
            score("AI4Code", rows("id", "cell_order", [wrong, "x y"]), answers)


def test_answers_to_questions() -> None:
    def note(long: tuple[int, int], short: list[tuple[int, int]], yes: str) -> Table:
        def span(pair: tuple[int, int]) -> Table:
            return dict(zip(("start_token", "end_token"), pair, strict=True))

        return {
            "annotations": [
                {"long_answer": span(long), "short_answers": [span(x) for x in short], "yes_no_answer": yes}
            ]
        }

    answers = [{"example_id": "1", **note((5, 9), [(6, 7)], "NONE")}, {"example_id": "2", **note((-1, -1), [], "YES")}]
    given_ = rows(
        "example_id", "PredictionString", ["5:9", "1:2", np.nan, "YES"], ["1_long", "1_short", "2_long", "2_short"]
    )
    # Right: the long answer of 1, no long answer of 2, YES. Wrong: the short answer of 1.
    assert score("tensorflow2-question-answering", given_, answers) == 0.75
    none = {**given_, "PredictionString": [np.nan] * 4}
    assert score("tensorflow2-question-answering", none, answers) == 0.25
    for wrong in ("maybe", "1:2:3", "a:b"):
        with pytest.raises(ValueError):
            score("tensorflow2-question-answering", {**given_, "PredictionString": [wrong, "", "", ""]}, answers)
