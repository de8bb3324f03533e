"""Signs that a valid score is not to be believed: each fires on what it is for and not on honest work."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pandas as pd
import pytest

from gome.events import Doubt, SubmissionScored, TaskKind
from gome.plugins.scorer.metrics.score import score
from tests.plugins.scorer.world import World, world


def doubts(w: World, predicted: np.ndarray[Any, Any], **files: pd.DataFrame) -> dict[str, Doubt]:
    asked = w.request(w.oof(predicted))
    for name, table in files.items():
        asked.outputs[f"{name}.csv"] = w.put(table, f"{name}.csv")
    found = score(w.store, asked, 1)
    assert isinstance(found, SubmissionScored)
    return {d.name: d for d in found.doubts}


@pytest.mark.parametrize("kind", ["regression", "binary", "multiclass"])
@pytest.mark.parametrize("noise", [0.4, 0.8, 2.0])
def test_honest_predictions_raise_no_doubt(kind: TaskKind, noise: float) -> None:
    w = world(kind)
    assert doubts(w, w.noisy(noise)) == {}


def claims(value: float) -> pd.DataFrame:
    return pd.DataFrame({"model": ["lgbm", "ensemble"], "rmse": [9.0, value]})


def test_a_claimed_score_that_is_better_than_the_recomputed_one_is_told_with_both() -> None:
    w = world("regression")
    predicted = w.noisy(0.5)
    honest = score(w.store, w.request(w.oof(predicted)), 1)
    assert isinstance(honest, SubmissionScored)
    found = doubts(w, predicted, scores=claims(honest.score / 2))
    assert found["claim"].figures == {"claimed": pytest.approx(honest.score / 2), "recomputed": honest.score}
    assert doubts(w, predicted, scores=claims(honest.score * 1.001)) == {}
    assert doubts(w, predicted, scores=claims(honest.score * 2)) == {}, "modesty is no reason to doubt"


def test_a_scores_file_that_is_no_table_of_numbers_is_no_claim() -> None:
    w = world("regression")
    assert doubts(w, w.noisy(0.5), scores=pd.DataFrame({"a": ["x", "y"]})) == {}


def test_labels_written_as_predictions_are_noticed() -> None:
    w = world("regression")
    assert doubts(w, w.truth.copy())["copied"].figures["share"] == 1.0
    most = w.noisy(0.5)
    most[: int(0.6 * len(most))] = w.truth[: int(0.6 * len(most))]
    assert doubts(w, most)["copied"].figures["share"] == pytest.approx(0.6, abs=0.01)


def test_labels_with_a_little_noise_are_too_good() -> None:
    w = world("regression")
    found = doubts(w, w.truth + 1e-4 * np.random.default_rng(0).normal(size=len(w.truth)))
    assert "too good" in found and found["too good"].figures["skill"] > 0.995


@pytest.mark.parametrize("kind", ["binary", "multiclass"])
def test_certain_and_right_about_every_row_is_doubted(kind: TaskKind) -> None:
    w = world(kind)
    sure = w.truth.copy() if kind == "binary" else np.eye(3)[w.truth.astype(int)]
    assert {"copied", "too good"} <= set(doubts(w, sure))


def test_a_score_that_lives_on_repeated_rows_says_what_is_left_without_them() -> None:
    w = world("regression", rows=600)
    twins = np.arange(0, 200)
    table = w.train.copy()
    for name in ("x0", "x1", "x2", "city", "zip"):
        table.loc[twins + 200, name] = table.loc[twins, name].to_numpy()
    w.task = msgspec.structs.replace(w.task, train=w.put(table, "train.csv"))
    predicted = w.noisy(1.0)
    predicted[:400] = w.truth[:400] + 0.05 * np.random.default_rng(1).normal(size=400)
    found = doubts(w, predicted)["repeated rows"]
    assert found.figures["rows"] == 400 and found.figures["without"] > 1.1 * found.figures["with"]
