"""Rendered programs really run: every family, feature and blend, in the contract of a program's world."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from gome.events.pipeline import FAMILIES, AnyFeature, with_seeds
from gome.plugins.mutator.pipeline.partial import with_partial_scores

FEATURES: list[dict[str, Any]] = [
    {"op": "ratio", "a": "plot", "b": "size"},
    {"op": "product", "a": "plot", "b": "east"},
    {"op": "difference", "a": "sold", "b": "built"},
    {"op": "sum", "columns": ["plot", "size"], "name": "both", "weights": [1.0, 0.5]},
    {"op": "ordinal", "column": "town", "order": ["town 0", "town 1", "town 2"]},
    {"op": "quality"},
    {"op": "count_encoding", "columns": ["town"]},
    {"op": "group_statistics", "by": "town", "columns": ["size"], "statistics": ["mean", "std"]},
    {"op": "missing_indicators"},
    {"op": "cross", "columns": ["town", "state"]},
    {"op": "categorise", "columns": ["zip"]},
    {"op": "tfidf", "column": "said", "svd": 3, "min_count": 1},
    {"op": "text_statistics", "column": "said"},
    {"op": "date_parts", "column": "when", "cyclic": True},
    {"op": "target_encoding", "columns": ["town", "state"], "joint": True},
    {"op": "target_encoding", "min_cardinality": 5},
    {"op": "neighbours", "columns": ["east", "north"], "k": [3, 7], "scale": True},
    {"op": "drop", "columns": ["gaps"]},
]
FAST = {"learning_rate": 0.1, "rounds": 40, "patience": 10}
MATRIX = {"categories": "onehot", "numbers": "standard", "log_skew": 0.75, "winsor": 0.01}
TERMS = {"op": "tfidf", "column": "said", "min_count": 1, "ngrams": 1}

LETTERS = {"op": "tfidf", "column": "said", "analyzer": "char_wb", "ngrams": 3, "max_features": 50}


def everything(kind: str) -> list[dict[str, Any]]:
    """Members that together use every family of a kind of task, every feature and every encoding."""
    members: list[dict[str, Any]] = [
        {"model": {"family": "booster", **FAST}, "features": FEATURES, "bag": 2},
        {"model": {"family": "booster", **FAST, "refit": False}, "encoding": {"categories": "target"}},
        {"model": {"family": "hist_booster", "rounds": 20}, "encoding": {"categories": "codes", "top": 4}},
        {"model": {"family": "trees", "trees": 10}},
        {"model": {"family": "trees", "trees": 10, "extra": False}, "encoding": {"categories": "onehot"}},
        {"model": {"family": "ridge"}, "features": FEATURES},
        {"model": {"family": "ridge", "alpha": 5.0}, "features": [TERMS, LETTERS]},
        {"model": {"family": "elastic_net"}, "encoding": MATRIX | {"pca": 5}},
        {"model": {"family": "svm"}, "encoding": MATRIX | {"pca": 5, "pca_only": True}},
        {"model": {"family": "kernel_ridge", "kernel": "laplacian"}},
        {"model": {"family": "gaussian_process", "subset": 50, "rows": 60}},
        {"model": {"family": "knn", "k": 5}, "encoding": {"categories": "target", "numbers": "quantile"}},
        {"model": {"family": "mlp", "hidden": [8], "epochs": 10}},
    ]
    if kind == "regression":
        members += [
            {"model": {"family": "huber"}, "target": "log1p"},
            {"model": {"family": "ridge"}, "target": "yeo_johnson"},
            {"model": {"family": "booster", **FAST, "objective": "tweedie"}},
            {"model": {"family": "knn"}, "target": "quantile_normal"},
        ]
    else:
        members += [
            {"model": {"family": "discriminant"}},
            {"model": {"family": "discriminant", "form": "quadratic", "shrinkage": 0.3}, "temperature": True},
            {"model": {"family": "naive_bayes"}, "features": [TERMS]},
            {"model": {"family": "booster", **FAST, "class_weight": "balanced", "inner": 0.0, "rounds": 10}},
        ]
    return members


def test_the_members_of_these_tests_use_the_whole_vocabulary() -> None:
    used = {m["model"]["family"] for kind in ("regression", "binary") for m in everything(kind)}
    assert used == set(FAMILIES) - {"network"}, "network is tested where torch is installed"
    assert {f["op"] for f in FEATURES} == {str(t.__struct_config__.tag) for t in AnyFeature.__args__}


@pytest.mark.parametrize("half", [slice(0, 8), slice(8, None)])
@pytest.mark.parametrize(
    ("kind", "metric"), [("regression", "rmsle"), ("binary", "roc_auc"), ("multiclass", "log_loss")]
)
def test_every_family_feature_and_encoding_runs_and_keeps_the_contract(
    kind: str, metric: str, half: slice, make_world: Any, check_contract: Any, diagnostics: Any
) -> None:
    world = make_world(kind, metric, rows=160)
    members = everything(kind)[half]
    first = world.execute(world.program({"members": members, "blend": {"kind": "weights", "shrink": 0.1}}))
    check_contract(world, first)
    said = diagnostics(first)
    assert [m["family"] for m in said["members"]] == [m["model"]["family"] for m in members]
    assert sum(said["blend"]["weights"]) == pytest.approx(1.0, abs=1e-4)
    assert np.array(said["blend"]["correlation"]).shape == (len(members), len(members))
    for member in said["members"]:
        assert len(member["seconds"]) == len(member["train_scores"]) == 3
        if member["family"] == "booster":
            assert all(1 <= rounds <= 40 for rounds in member["best_iterations"])
            assert 0 < len(member["importance"]) <= 20
    # What is learnt from a hundred rows beats the constant (0.8, 0.5 and 1.09).
    assert said["score"] > 0.7 if metric == "roc_auc" else said["score"] < {"rmsle": 0.55, "log_loss": 1.0}[metric]


@pytest.mark.parametrize(
    ("kind", "metric", "blend"),
    [
        ("regression", "rmse", {"kind": "stack"}),
        ("regression", "mae", {"kind": "greedy"}),
        ("regression", "r2", {"kind": "mean", "space": "log1p"}),
        ("binary", "roc_auc", {"kind": "rank"}),
        ("binary", "log_loss", {"kind": "weights", "space": "logit"}),
        ("binary", "accuracy", {"kind": "stack"}),
        ("multiclass", "f1_macro", {"kind": "stack"}),
        ("multiclass", "accuracy", {"kind": "greedy"}),
        ("multiclass", "roc_auc", {"kind": "weights", "space": "logit"}),
    ],
)
def test_every_blend_and_metric_runs_without_refitting_kept_members(
    kind: str, metric: str, blend: dict[str, Any], make_world: Any, check_contract: Any
) -> None:
    world = make_world(kind, metric, rows=120)
    members = [{"model": {"family": name}} for name in ("ridge", "knn")]
    work = world.execute(world.program({"members": members, "blend": blend}))
    check_contract(world, work)


def test_equal_inputs_and_seeds_give_equal_bytes_and_another_seed_does_not(make_world: Any) -> None:
    world = make_world("regression", "rmsle")
    program = world.program({"members": everything("regression")[:4], "blend": {"kind": "weights"}})
    first, again, other = (
        world.run(program, name, GOME_SEED=seed) for name, seed in (("a", "1"), ("b", "1"), ("c", "2"))
    )
    for name in ("oof.csv", "submission.csv", "scores.csv"):
        assert (first / name).read_bytes() == (again / name).read_bytes()
        assert (first / name).read_bytes() != (other / name).read_bytes()


def test_kept_members_give_the_same_bytes_as_fitted_ones(make_world: Any, diagnostics: Any) -> None:
    world = make_world("multiclass", "log_loss")
    members = everything("multiclass")
    small = world.execute(world.program({"members": [members[0]]}), "small")
    (kept,) = (small / "members").iterdir()
    assert sorted(file.name for file in kept.iterdir()) == ["oof.csv", "submission.csv"]
    whole = world.program({"members": [members[0], members[3]], "blend": {"kind": "weights"}})
    fresh = world.execute(whole, "fresh")
    (world.folder / "input" / "members").mkdir()
    kept.rename(world.folder / "input" / "members" / kept.name)
    served = world.run(whole, "served")
    assert [m["cached"] for m in diagnostics(served)["members"]] == [True, False]
    for name in ("oof.csv", "submission.csv", "scores.csv"):
        assert (fresh / name).read_bytes() == (served / name).read_bytes()
    # Predictions of another partition do not fit these rows and are not used.
    elsewhere = world.execute(whole, "elsewhere", GOME_PARTITION="1")
    assert [m["cached"] for m in diagnostics(elsewhere)["members"]] == [False, False]
    assert list(pd.read_csv(elsewhere / "oof.csv")["fold"]) == list(world.folds["p1"])


def test_a_masked_fold_is_predicted_as_test_rows_about_as_well_as_claimed(make_world: Any, masked: Any) -> None:
    world = make_world("regression", "rmsle", rows=400)
    spec = {"members": [{"model": {"family": "ridge"}, "features": FEATURES[-4:-1], "target": "log1p"}]}
    program = world.program(spec)
    claim = pd.read_csv(world.execute(program) / "oof.csv").set_index("id")["y"]
    work = world.execute(program, "audit", "--data", str(masked(world, 1)))
    held = world.train[world.folds["p0"] == 1].set_index("id")["y"]
    oof, submission = pd.read_csv(work / "oof.csv"), pd.read_csv(work / "submission.csv").set_index("id")["y"]
    assert set(oof["fold"]) == {0, 2}
    assert len(oof) == len(world.train) - len(held)

    def error(predicted: pd.Series) -> float:
        return float(np.sqrt(np.mean((np.log1p(predicted.loc[held.index]) - np.log1p(held)) ** 2)))

    assert error(submission) == pytest.approx(error(claim), rel=0.25)


def test_target_encodings_do_not_see_the_scored_fold(make_world: Any, masked: Any) -> None:
    """With a target of pure noise a leaking encoding would look far better than chance."""
    world = make_world("binary", "roc_auc", rows=400)
    rng = np.random.default_rng(0)
    world.train["y"] = rng.choice(["no", "yes"], len(world.train))
    world.train["town"] = [f"t{n}" for n in rng.integers(0, 60, len(world.train))]
    world.train.to_csv(world.folder / "input" / "train.csv", index=False)
    steps = [{"op": "target_encoding"}, {"op": "neighbours", "columns": ["east", "north"], "k": [1]}]
    spec = {"members": [{"model": {"family": "booster", **FAST}, "features": steps}]}
    scores = pd.read_csv(world.execute(world.program(spec)) / "scores.csv", index_col=0)
    assert 0.38 < scores.loc["ensemble", "roc_auc"] < 0.62


def test_a_program_fits_any_table_and_predicts_any_other(make_world: Any) -> None:
    world = make_world("binary", "roc_auc")
    program = world.program({"members": everything("binary")[3:6], "blend": {"kind": "mean"}})
    inputs = world.folder / "input"
    found = world.folder / "elsewhere.csv"
    arguments = ["--train", str(inputs / "train.csv"), "--test", str(inputs / "test.csv"), "--out", str(found)]
    work = world.run(program, "alone", *arguments)
    assert list(pd.read_csv(found)) == ["id", "y"]
    assert [file.name for file in work.iterdir()] == ["program.py"]


def test_several_pairs_average_to_the_very_bytes_of_the_mean_of_single_runs(make_world: Any) -> None:
    world = make_world("multiclass", "accuracy")
    program = world.program({"members": everything("multiclass")[:1]})
    pairs = [(5, 0), (6, 1), (7, 2)]
    single = [
        world.execute(program, f"run{seed}", GOME_SEED=str(seed), GOME_PARTITION=str(part)) for seed, part in pairs
    ]
    tables = [pd.read_csv(work / "submission.csv") for work in single]
    mean = tables[0].copy()
    columns = list(world.task.prediction_columns)
    mean[columns] = (tables[0][columns] + tables[1][columns] + tables[2][columns]) / 3
    final = with_seeds(program, [s for s, _ in pairs], [p for _, p in pairs])
    work = world.execute(final, "final", GOME_SEED="99", GOME_PARTITION="3")
    assert (work / "submission.csv").read_text() == mean.to_csv(index=False)
    assert not (work / "members").exists()


def test_debug_mode_runs_without_keeping_members(make_world: Any, check_contract: Any) -> None:
    world = make_world("regression", "mae", rows=80)
    program = world.program({"members": [{"model": {"family": "trees", "trees": 5}, "bag": 3}]})
    work = world.execute(program, GOME_DEBUG="1")
    check_contract(world, work)
    assert not (work / "members").exists()


def test_an_unknown_class_ends_the_program_with_a_sentence(make_world: Any) -> None:
    world = make_world("binary", "roc_auc", rows=60)
    world.train.loc[3, "y"] = "perhaps"
    world.train.to_csv(world.folder / "input" / "train.csv", index=False)
    work = world.run(world.program({"members": [{"model": {"family": "knn"}}]}), ok=False)
    assert not (work / "submission.csv").exists()


def test_the_torch_network_runs_where_torch_is_installed(make_world: Any, check_contract: Any) -> None:
    pytest.importorskip("torch")
    for kind, metric in (("regression", "rmse"), ("multiclass", "log_loss")):
        world = make_world(kind, metric, rows=120, folder=kind)
        member = {"model": {"family": "network", "hidden": [16], "epochs": 5, "batch": 32}, "bag": 2}
        check_contract(world, world.run(world.program({"members": [member]})))


@pytest.mark.parametrize(("kind", "metric"), [("regression", "rmsle"), ("multiclass", "log_loss")])
def test_with_partial_scores_a_program_says_each_fold_s_score_once_it_is_known(
    make_world: Any, diagnostics: Any, kind: str, metric: str
) -> None:
    world = make_world(kind, metric)
    plain = world.program({"members": [{"model": {"family": "ridge"}}]})
    program = with_partial_scores(plain)
    work = world.execute(program, "asked", GOME_PARTITION="1")
    said = [line.split(",") for line in (work / "partial_scores.csv").read_text().splitlines()]
    assert [int(fold) for fold, _ in said] == [0, 1, 2]
    assert [float(score) for _, score in said] == pytest.approx(diagnostics(work)["fold_scores"], rel=1e-5)
    alone = world.execute(program, "alone")
    assert not (alone / "partial_scores.csv").exists()
    assert (work / "oof.csv").read_bytes() == (
        world.execute(plain, "plain", GOME_PARTITION="1") / "oof.csv"
    ).read_bytes()
