"""Every metric against scikit-learn, ties and weights included, and the bootstrap against closed forms."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn import metrics as sk

from gome.events import METRICS, Artifact, Task, TaskKind
from gome.plugins.scorer.metrics.bootstrap import fold_resamples, interval, resampled, standard_error
from gome.plugins.scorer.metrics.formulas import RANKED, moments, ranked_value, ranking, value


def task(metric: str, kind: TaskKind, classes: tuple[str, ...] = ()) -> Task:
    file = Artifact("sha256-0", 0)
    return Task("t", kind, METRICS[metric].metric, "y", "id", (), file, file, 1, 1, classes=classes)


def kappa(y: Any, p: Any) -> float:
    return float(sk.cohen_kappa_score(y, p, weights="quadratic"))


REGRESSION = {
    "rmse": lambda y, p: sk.root_mean_squared_error(y, p),
    "rmsle": lambda y, p: sk.root_mean_squared_log_error(y, p),
    "mae": sk.mean_absolute_error,
    "mape": sk.mean_absolute_percentage_error,
    "r2": sk.r2_score,
}
BINARY = {
    "roc_auc": sk.roc_auc_score,
    "average_precision": sk.average_precision_score,
    "log_loss": sk.log_loss,
    "accuracy": lambda y, p: sk.accuracy_score(y, p >= 0.5),
    "balanced_accuracy": lambda y, p: sk.balanced_accuracy_score(y, p >= 0.5),
    "f1": lambda y, p: sk.f1_score(y, p >= 0.5),
    "f1_macro": lambda y, p: sk.f1_score(y, p >= 0.5, average="macro"),
}
SEVERAL = {
    "log_loss": lambda y, p: sk.log_loss(y, p),
    "accuracy": lambda y, p: sk.accuracy_score(y, p.argmax(1)),
    "balanced_accuracy": lambda y, p: sk.balanced_accuracy_score(y, p.argmax(1)),
    "f1_macro": lambda y, p: sk.f1_score(y, p.argmax(1), average="macro"),
    "quadratic_kappa": lambda y, p: kappa(y, p.argmax(1)),
}


def test_every_metric_of_the_table_is_computed_and_tested() -> None:
    tested = {"regression": {*REGRESSION, "quadratic_kappa"}, "binary": set(BINARY), "multiclass": set(SEVERAL)}
    for name, facts in METRICS.items():
        for kind in facts.kinds:
            assert name in tested[kind], f"{name} is not tested for {kind}"


@pytest.mark.parametrize("name", REGRESSION)
def test_regression_metrics_agree_with_scikit_learn(name: str) -> None:
    generator = np.random.default_rng(1)
    y = generator.lognormal(size=300)
    p = y * generator.lognormal(sigma=0.3, size=300)
    assert value(task(name, "regression"), y, p) == pytest.approx(REGRESSION[name](y, p), rel=1e-12)


def test_the_kappa_of_a_regression_rounds_to_the_grades_there_are() -> None:
    generator = np.random.default_rng(1)
    y = generator.integers(0, 5, 300).astype(float)
    p = y + generator.normal(size=300)
    expected = kappa(y.astype(int), np.clip(np.round(p), 0, 4).astype(int))
    assert value(task("quadratic_kappa", "regression"), y, p) == pytest.approx(expected)


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("name", BINARY)
def test_binary_metrics_agree_with_scikit_learn(name: str, ties: bool) -> None:
    generator = np.random.default_rng(2)
    y = (generator.random(400) < 0.3).astype(float)
    p = np.clip(0.3 * y + 0.7 * generator.random(400), 0.01, 0.99)
    p = np.round(p, 1) if ties else p
    p = np.clip(p, 0.05, 0.95)
    assert value(task(name, "binary", ("n", "y")), y, p) == pytest.approx(BINARY[name](y, p), rel=1e-9)


@pytest.mark.parametrize("name", SEVERAL)
def test_multiclass_metrics_agree_with_scikit_learn(name: str) -> None:
    generator = np.random.default_rng(3)
    y = generator.integers(0, 4, 300).astype(float)
    p = generator.random((300, 4)) + np.eye(4)[y.astype(int)]
    p /= p.sum(1, keepdims=True)
    assert value(task(name, "multiclass", tuple("0123")), y, p) == pytest.approx(SEVERAL[name](y, p), rel=1e-9)


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("name", RANKED)
def test_weighted_ranks_are_the_metric_of_the_repeated_rows(name: str, ties: bool) -> None:
    generator = np.random.default_rng(4)
    y = (generator.random(120) < 0.4).astype(float)
    p = np.round(0.2 * y + generator.random(120), 1 if ties else 9)
    weights = generator.integers(0, 4, (120, 7)).astype(np.float32)
    found = ranked_value(name, ranking(y, p), weights)
    for column in range(7):
        rows = np.repeat(np.arange(120), weights[:, column].astype(int))
        assert found[column] == pytest.approx(BINARY[name](y[rows], p[rows]), rel=1e-6)


def test_one_class_has_no_rank_and_no_warning() -> None:
    for name in (*RANKED, "f1"):
        found = value(task(name, "binary", ("n", "y")), np.zeros(10), np.linspace(0, 0.4, 10))
        assert np.isnan(found)


def test_moments_carry_every_metric_that_decomposes() -> None:
    for name, facts in METRICS.items():
        for kind in facts.kinds:
            classes = {"regression": (), "binary": ("n", "y"), "multiclass": tuple("0123")}[kind]
            y = np.tile([0.0, 1.0], 10)
            p = np.full((20, 4), 0.25) if kind == "multiclass" else np.linspace(0.1, 0.9, 20)
            if facts.decomposes:
                assert moments(task(name, kind, classes), y, p).columns.shape[0] == 20
            else:
                assert name in RANKED


def test_the_bootstrap_error_of_a_mean_is_the_closed_form() -> None:
    generator = np.random.default_rng(5)
    y = generator.normal(size=4000)
    p = y + generator.normal(size=4000)
    found = standard_error(resampled(task("mae", "regression"), y, [p], 400, seed=1)[0])
    assert found == pytest.approx(np.abs(y - p).std() / np.sqrt(4000), rel=0.12)


def test_the_bootstrap_error_of_an_area_is_hanley_and_mcneil_s() -> None:
    generator = np.random.default_rng(6)
    y = (generator.random(2000) < 0.5).astype(float)
    p = 1 / (1 + np.exp(-(y + generator.normal(size=2000))))
    area = float(sk.roc_auc_score(y, p))
    ours, theirs = y.sum(), len(y) - y.sum()
    q1, q2 = area / (2 - area), 2 * area**2 / (1 + area)
    closed = (area * (1 - area) + (ours - 1) * (q1 - area**2) + (theirs - 1) * (q2 - area**2)) / (ours * theirs)
    found = standard_error(resampled(task("roc_auc", "binary", ("n", "y")), y, [p], 400, seed=1)[0])
    assert found == pytest.approx(closed**0.5, rel=0.15)


def test_pairing_makes_a_small_difference_visible() -> None:
    generator = np.random.default_rng(7)
    y = generator.normal(size=1000)
    hard = generator.normal(size=1000)
    one, other = y + hard, y + hard + 0.1 * generator.normal(size=1000)
    folds = np.arange(1000) % 5
    draws = fold_resamples(task("rmse", "regression"), y, [one, other], folds, seed=1)
    assert standard_error(draws[0] - draws[1]) < 0.3 * standard_error(draws[0])
    low, high = interval(draws[0])
    assert low < draws[0].mean() < high


def test_the_same_seed_draws_the_same_resamples() -> None:
    y, p = np.arange(50.0), np.arange(50.0) + 1
    one = resampled(task("rmse", "regression"), y, [p * 1.1], 20, seed=3)
    assert (one == resampled(task("rmse", "regression"), y, [p * 1.1], 20, seed=3)).all()
