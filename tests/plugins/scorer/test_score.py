"""Scoring: every fault of a program's files is refused with one sentence; what is right is scored from the file."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from gome.events import Against, Artifact, SubmissionRejected, SubmissionScored, TaskKind
from gome.plugins.scorer.metrics.score import score
from tests.plugins.scorer.world import World, world


def refusal(w: World, oof: Artifact, submission: Artifact | None = None) -> str:
    found = score(w.store, w.request(oof, submission), 1)
    assert isinstance(found, SubmissionRejected) and found.layer == 1
    assert "\n" not in found.reason and len(found.reason) < 400
    return found.reason


@pytest.mark.parametrize("kind", ["regression", "binary", "multiclass"])
def test_a_score_is_the_mean_over_folds_of_the_metric_on_the_file(kind: TaskKind) -> None:
    w = world(kind)
    predicted = w.noisy(0.5)
    found = score(w.store, w.request(w.oof(predicted)), 1)
    assert isinstance(found, SubmissionScored)
    folds = w.numbers()
    by_fold = []
    for fold in range(5):
        y, p = w.truth[folds == fold], predicted[folds == fold]
        if kind == "regression":
            by_fold.append(np.sqrt(np.mean((y - p) ** 2)))
        elif kind == "binary":
            by_fold.append(roc_auc_score(y, p))
        else:
            by_fold.append(-np.log(p[np.arange(len(y)), y.astype(int)]).mean())
    assert found.score == pytest.approx(np.mean(by_fold), rel=1e-9)
    assert found.fold_scores == pytest.approx(by_fold, rel=1e-9)
    assert 0 < found.se < abs(found.score)
    assert found.diagnostics["slices"] is not None and found.outputs["oof.csv"]


def test_rows_may_come_in_any_order() -> None:
    w = world("regression")
    table = w.table(w.oof(w.noisy(0.5)))
    one = score(w.store, w.request(w.put(table, "oof.csv")), 1)
    other = score(w.store, w.request(w.put(table.sample(frac=1, random_state=0), "oof.csv")), 1)
    assert isinstance(one, SubmissionScored) and isinstance(other, SubmissionScored)
    assert one.score == other.score


def change(table: pd.DataFrame, how: str) -> pd.DataFrame:
    table = table.copy()
    match how:
        case "column":
            return table.rename(columns={"y": "prediction"})
        case "index":
            table.insert(0, "Unnamed: 0", range(len(table)))
        case "short":
            return table.iloc[:-3]
        case "twice":
            return pd.concat([table, table.iloc[:2]])
        case "stranger":
            table.loc[0, "id"] = 99_999
        case "nan":
            table.loc[3, "y"] = np.nan
        case "infinite":
            table.loc[3, "y"] = np.inf
        case "text":
            table["y"] = table["y"].astype(object)
            table.loc[3, "y"] = "cheap"
    return table


FAULTS = {
    "column": "lacks the column 'y'",
    "index": "nobody asked for",
    "short": "lacks 3 of",
    "twice": "repeats 2 ids",
    "stranger": "not expected there, such as '99999'",
    "nan": "missing or infinite",
    "infinite": "missing or infinite",
    "text": "texts such as 'cheap'",
}


@pytest.mark.parametrize("file", ["oof.csv", "submission.csv"])
@pytest.mark.parametrize("how", FAULTS)
def test_each_fault_of_a_file_is_refused_with_its_reason(how: str, file: str) -> None:
    w = world("regression")
    good = w.request(w.oof(w.noisy(0.5)))
    bad = w.put(change(w.table(good.outputs[file]), how), file)
    reason = refusal(w, bad) if file == "oof.csv" else refusal(w, good.outputs["oof.csv"], bad)
    assert reason.startswith(file) and FAULTS[how] in reason


def test_missing_files_and_rubbish_are_refused() -> None:
    w = world("regression")
    asked = w.request(w.oof(w.noisy(0.5)), outputs={"submission.csv": w.oof(w.noisy(0.5))})
    found = score(w.store, asked, 1)
    assert isinstance(found, SubmissionRejected) and "wrote no oof.csv" in found.reason
    data = b"\x00\xff\x00"
    assert "oof.csv" in refusal(w, Artifact(w.store.put(data), len(data), "oof.csv"))
    assert "oof.csv" in refusal(w, Artifact(w.store.put(b""), 0, "oof.csv"))


def test_a_file_that_is_far_too_large_is_not_even_read() -> None:
    w = world("regression")
    assert "bytes" in refusal(w, Artifact("sha256-" + "0" * 64, 10**9, "oof.csv"))


def test_folds_that_are_not_the_task_s_are_refused() -> None:
    w = world("regression")
    table = w.table(w.oof(w.noisy(0.5)))
    table["fold"] = (table["fold"] + 1) % 5
    assert "input/folds.csv" in refusal(w, w.put(table, "oof.csv"))
    assert "input/folds.csv" in refusal(w, w.oof(w.noisy(0.5), partition=2))
    found = score(w.store, w.request(w.oof(w.noisy(0.5), partition=2), partition=2), 1)
    assert isinstance(found, SubmissionScored)


def test_probabilities_must_be_probabilities() -> None:
    w = world("binary")
    assert "lie in [0, 1]" in refusal(w, w.oof(w.noisy(0.5) * 3))
    w = world("multiclass")
    assert "do not sum to 1" in refusal(w, w.oof(w.noisy(0.5) * 0.9))
    rounded = np.round(w.noisy(0.5), 4)
    found = score(w.store, w.request(w.oof(rounded)), 1)
    assert isinstance(found, SubmissionScored)


def test_a_metric_s_own_bound_is_checked() -> None:
    w = world("regression", metric="rmsle")
    assert "clip them" in refusal(w, w.oof(w.noisy(0.5) - 20))


def test_ids_are_understood_when_written_as_other_numbers() -> None:
    w = world("regression")
    table = w.table(w.oof(w.noisy(0.5)))
    table["id"] = table["id"].astype(float)
    assert isinstance(score(w.store, w.request(w.put(table, "oof.csv")), 1), SubmissionScored)


@pytest.mark.parametrize(("kind", "metric"), [("regression", "rmse"), ("regression", "r2"), ("binary", "roc_auc")])
def test_comparisons_are_positive_for_the_better_one(kind: TaskKind, metric: str) -> None:
    w = world(kind, metric=metric, rows=800)
    rivals = (Against("worse", w.oof(w.noisy(0.9, 1))), Against("better", w.oof(w.noisy(0.2, 2))))
    found = score(w.store, w.request(w.oof(w.noisy(0.5)), against=rivals, others=rivals), 1)
    assert isinstance(found, SubmissionScored)
    worse, better = found.comparisons
    assert (worse.attempt, better.attempt) == ("worse", "better")
    assert worse.difference > 2 * worse.row_se > 0 and better.difference < -2 * better.row_se < 0
    assert np.mean(worse.fold_differences) == pytest.approx(worse.difference)
    assert set(found.diagnostics["correlation"]) == {"worse", "better"}


def test_a_rival_with_a_broken_file_is_left_out() -> None:
    w = world("regression")
    broken = w.put(pd.DataFrame({"id": [1], "fold": [0], "y": [1.0]}), "oof.csv")
    rivals = (Against("broken", broken), Against("fine", w.oof(w.noisy(0.9, 1))))
    found = score(w.store, w.request(w.oof(w.noisy(0.5)), against=rivals), 1)
    assert isinstance(found, SubmissionScored) and [c.attempt for c in found.comparisons] == ["fine"]


def test_the_same_files_and_seed_score_the_same() -> None:
    w = world("binary")
    rivals = (Against("a", w.oof(w.noisy(0.9, 1))),)
    asked = w.request(w.oof(w.noisy(0.5)), against=rivals)
    assert score(w.store, asked, 1) == score(w.store, asked, 1)


def diagnostics(w: World, predicted: np.ndarray[Any, Any]) -> dict[str, Any]:
    found = score(w.store, w.request(w.oof(predicted)), 1)
    assert isinstance(found, SubmissionScored)
    return found.diagnostics


def test_diagnostics_find_timid_predictions_bad_slices_and_outliers() -> None:
    w = world("regression", rows=1000)
    middle = w.truth.mean()
    timid = diagnostics(w, middle + 0.5 * (w.truth - middle))
    assert timid["residual_slope"] == pytest.approx(1.0, rel=0.01)
    predicted = w.noisy(0.1)
    predicted[(w.train["city"] == "c3").to_numpy()] += 2.0
    worst = diagnostics(w, predicted)["slices"][0]
    assert worst["slice"] == "city = c3" and worst["ratio"] > 3
    spiked = w.noisy(0.1)
    spiked[:10] += 50
    assert 0.005 < diagnostics(w, spiked)["outliers"] < 0.02


def test_diagnostics_measure_calibration_and_confusion() -> None:
    w = world("binary", rows=1000)
    sure = diagnostics(w, np.where(w.truth == 1, 0.7, 0.3))
    assert sure["calibration_error"] == pytest.approx(0.3, abs=0.01)
    w = world("multiclass", rows=600)
    predicted = np.eye(3)[np.where(w.truth == 2, 1, w.truth).astype(int)] * 0.9 + 0.1 / 3
    predicted /= predicted.sum(1, keepdims=True)
    assert diagnostics(w, predicted)["confusion"][0][:2] == ["c", "b"]
