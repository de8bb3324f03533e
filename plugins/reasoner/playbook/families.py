"""What the playbook knows about model families: good first settings for a data shape, neighbouring settings to try,
how strong a family usually is alone, and how long it takes.

Seconds are rough formulas in rows, columns and classes for fitting all folds on one core; `estimate` corrects them by
what the same family really took in this run. Priors come from measurements on the development tasks.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from gome.plugins.reasoner.playbook.facts import Facts
from gome.plugins.reasoner.playbook.pipelines import Spec

LARGE = 20_000
"""Rows from which a table counts as large: fewer, bigger boosters, no kernel methods."""
TREES = frozenset({"booster", "hist_booster", "trees"})
_UNCALIBRATED = frozenset({"discriminant", "trees", "svm", "knn", "naive_bayes", "mlp", "booster"})
"""Families whose probabilities for several classes are far too sure or too timid as they come."""
TITLES = {
    "booster": "gradient boosting",
    "hist_booster": "histogram boosting",
    "trees": "extremely randomised trees",
    "ridge": "a regularised linear model",
    "elastic_net": "an elastic net",
    "huber": "a robust linear model",
    "svm": "a support vector machine with an RBF kernel",
    "kernel_ridge": "kernel ridge regression",
    "gaussian_process": "a Gaussian process",
    "knn": "nearest neighbours",
    "discriminant": "discriminant analysis",
    "naive_bayes": "naive Bayes",
    "mlp": "a multi-layer perceptron",
    "network": "a network with embeddings",
}


def suits(facts: Facts, family: str) -> bool:
    """Whether a family can sensibly be fitted on a table of this size and kind."""
    n, k = facts.rows, facts.classes
    if family in ("svm", "kernel_ridge", "gaussian_process"):
        return n <= 8_000 and not (family == "gaussian_process" and (k > 2 or n > 4_000))
    if family == "huber":
        return facts.regression and n <= LARGE
    if family == "discriminant":
        return not facts.regression
    if family == "naive_bayes":
        return not facts.regression and bool(facts.kinds("text"))
    if family == "knn":
        return n <= 40_000
    if family == "network":
        return facts.torch and n >= 1_500
    if family == "elastic_net":
        return k <= 2 and n <= 60_000
    return True


def member(facts: Facts, family: str) -> Spec:
    """Return a member of a family with good first settings for this data shape."""
    model: dict[str, Any] = {"family": family}
    large, k = facts.rows > LARGE, facts.classes
    if family == "booster":
        if large:
            model |= {"learning_rate": 0.06, "leaves": 63, "min_child": 20, "colsample": 0.8, "subsample": 0.8}
            model |= {"rounds": 1500, "patience": 40, "refit": False, "inner": 0.1}
        elif facts.rows > 8_000:
            model |= {"learning_rate": 0.04, "leaves": 24, "min_child": 20, "colsample": 0.4, "rounds": 2000}
        elif k > 4:
            model |= {"learning_rate": 0.08, "leaves": 6, "rounds": 300, "patience": 25, "refit": False}
        elif not facts.regression:
            model |= {"learning_rate": 0.03, "leaves": 6, "min_child": 15, "colsample": 0.3, "l2": 5.0, "rounds": 1200}
        else:
            model |= {"learning_rate": 0.05, "leaves": 9, "rounds": 1500, "patience": 60}
    elif family == "hist_booster":
        if large:
            model |= {"learning_rate": 0.08, "leaves": 63, "min_child": 20, "max_features": 0.7, "rounds": 600}
        elif k > 4:
            model |= {"learning_rate": 0.1, "leaves": 6, "rounds": 120, "patience": 10}
        elif not facts.regression:
            model |= {"leaves": 6, "l2": 5.0}
    elif family == "trees":
        model |= {"trees": 100, "max_features": 0.6, "min_leaf": 2} if large else {"trees": 300}
        if not facts.regression:
            model |= {"max_features": 0.25, "min_leaf": 2}
    elif family == "svm":
        model |= {"c": 10.0, "gamma_scale": 0.1} if facts.regression else {"c": 2.0 if k == 2 else 8.0}
    elif family == "mlp" and large:
        model |= {"hidden": [128, 64], "epochs": 30, "batch": 512, "alpha": 0.01}
    elif family == "network" and large:
        model |= {"batch": 1024, "epochs": 20}
    found: Spec = {"model": model}
    if target := default_target(facts):
        found["target"] = target
    if k > 2 and facts.metric in ("log_loss", "logloss") and family in _UNCALIBRATED:
        found["temperature"] = True
    if family == "mlp":
        found["bag"] = 1 if large else 3
    return found


def default_target(facts: Facts) -> str:
    """The target transform under which the metric is the model's own loss: log for relative errors, else none."""
    if not facts.regression:
        return ""
    if facts.metric in ("rmsle", "msle", "mape"):
        return "log1p"
    target = facts.profile.get("target")
    if isinstance(target, dict) and target.get("positive"):
        skew, log_skew = target.get("skew"), target.get("log_skew")
        if (
            isinstance(skew, (int, float))
            and isinstance(log_skew, (int, float))
            and skew > 1.0
            and abs(log_skew) < 0.5 * skew
        ):
            return "log1p"
    return ""


def strength(facts: Facts, family: str) -> float:
    """Prior error of a family alone, relative to the best family on data of this shape (1.0: the best)."""
    small = facts.rows <= LARGE
    if facts.regression:
        table = {
            **{"booster": 0.99, "hist_booster": 1.04, "trees": 1.1, "mlp": 1.05, "network": 1.05, "knn": 1.45},
            **{"ridge": 1.04, "elastic_net": 1.04, "huber": 1.02, "svm": 0.98, "kernel_ridge": 1.0},
            **{"gaussian_process": 1.0},
        }
        if not small:
            table |= {"ridge": 1.5, "elastic_net": 1.5, "huber": 1.6, "trees": 1.05, "mlp": 1.1, "hist_booster": 1.01}
    elif facts.classes == 2:
        table = {
            **{"booster": 1.0, "hist_booster": 1.03, "trees": 1.03, "ridge": 1.0, "elastic_net": 1.0, "svm": 1.03},
            **{"mlp": 1.04, "network": 1.03, "knn": 1.2, "discriminant": 1.03, "kernel_ridge": 1.05},
            **{"gaussian_process": 1.03, "naive_bayes": 1.2},
        }
        if not small:
            table |= {"ridge": 1.1, "elastic_net": 1.1}
    else:
        table = {
            **{"booster": 1.25, "hist_booster": 1.35, "trees": 1.15, "ridge": 1.0, "elastic_net": 1.05, "svm": 0.95},
            **{"mlp": 1.05, "network": 1.1, "knn": 1.4, "discriminant": 0.97, "kernel_ridge": 1.1, "naive_bayes": 1.3},
        }
    return table.get(family, 1.2)


def openers(facts: Facts) -> list[str]:
    """Families for the first drafts of the traces, far apart from each other, for this data shape."""
    if facts.kinds("text") and facts.rows > 500:
        return (
            ["ridge", "booster", "naive_bayes", "svm", "trees"] if not facts.regression else ["ridge", "booster", "svm"]
        )
    if facts.rows > LARGE:
        return ["booster", "hist_booster", "ridge", "trees", "mlp"]
    if facts.regression:
        wanted = ["booster", "ridge", "svm", "trees", "mlp", "elastic_net"]
    elif facts.classes > 4:
        wanted = ["discriminant", "svm", "trees", "ridge", "booster", "mlp"]
    else:
        wanted = ["booster", "ridge", "trees", "svm", "mlp", "hist_booster"]
    return [f for f in wanted if suits(facts, f)]


def neighbours(facts: Facts, spec: Spec) -> list[tuple[str, dict[str, Any]]]:
    """Return neighbouring settings of a member's model: (what changes, partial model), each one step away."""
    model = spec["model"]
    family = model["family"]

    def scaled(
        name: str, default: float, factors: Sequence[float], low: float, high: float, whole: bool = False
    ) -> None:
        now = float(model.get(name, default))
        for factor in factors:
            value = min(high, max(low, now * factor))
            new: float = round(value) if whole else float(f"{value:.3g}")
            if new != now:
                found.append((f"{name} {now:g} → {new:g}", {name: new}))

    found: list[tuple[str, dict[str, Any]]] = []
    if family == "booster":
        scaled("leaves", 10, (0.6, 1.7), 3, 255, whole=True)
        scaled("min_child", 10, (0.5, 2.0), 2, 200, whole=True)
        scaled("colsample", 0.25, (0.6, 1.6), 0.05, 1.0)
        scaled("learning_rate", 0.03, (0.6, 1.6), 0.008, 0.2)
        scaled("l2", 1.0, (0.1, 10.0), 0.01, 100.0)
        scaled("subsample", 0.7, (0.7, 1.3), 0.3, 1.0)
        found.append(("extra_trees on", {"extra_trees": True}))
        if facts.regression:
            found.append(("linear leaves", {"linear_leaves": True}))
    elif family == "hist_booster":
        scaled("leaves", 12, (0.6, 1.7), 3, 255, whole=True)
        scaled("learning_rate", 0.04, (0.6, 1.6), 0.01, 0.3)
        scaled("max_features", 0.3, (0.6, 1.6), 0.05, 1.0)
        scaled("min_child", 10, (0.5, 2.0), 2, 200, whole=True)
    elif family == "trees":
        scaled("max_features", 0.35, (0.6, 1.6), 0.05, 1.0)
        scaled("min_leaf", 2, (0.5, 2.0), 1, 60, whole=True)
        found.append(("extra → bootstrap", {"extra": not model.get("extra", True)}))
    elif family == "svm":
        scaled("c", 4.0, (0.4, 2.5), 0.05, 200.0)
        scaled("gamma_scale", 0.3, (0.4, 2.2), 0.01, 5.0)
        if facts.regression:
            scaled("epsilon", 0.08, (0.4, 2.0), 0.005, 0.5)
    elif family == "kernel_ridge":
        scaled("alpha", 0.3, (0.35, 3.0), 0.001, 50.0)
        scaled("gamma_scale", 0.3, (0.4, 2.2), 0.01, 5.0)
        if model.get("kernel", "rbf") != "laplacian":
            found.append(("kernel laplacian", {"kernel": "laplacian"}))
    elif family == "elastic_net":
        found += [(f"l1_ratio {v:g}", {"l1_ratio": v}) for v in (0.1, 0.9) if v != model.get("l1_ratio", 0.5)]
    elif family == "knn":
        scaled("k", 12, (0.5, 2.0), 2, 100, whole=True)
        found.append(("metric manhattan", {"metric": "manhattan"}))
    elif family == "discriminant":
        found += [(f"shrinkage {v:g}", {"shrinkage": v}) for v in (0.02, 0.2) if v != model.get("shrinkage", 0.0)]
    elif family == "mlp":
        scaled("alpha", 1.0, (0.1, 5.0), 1e-4, 100.0)
        scaled("learning_rate", 2e-3, (0.4, 2.0), 1e-4, 0.02)
    elif family == "network":
        scaled("dropout", 0.15, (0.3, 2.0), 0.01, 0.6)
        scaled("weight_decay", 1e-2, (0.1, 10.0), 1e-5, 1.0)
        scaled("epochs", 40, (0.6, 1.7), 8, 150, whole=True)
    elif family == "gaussian_process":
        found.append(("kernel Matérn", {"kernel": "matern"}))
    elif family in ("ridge", "huber", "naive_bayes"):
        scaled("alpha", {"ridge": 10.0, "huber": 10.0}.get(family, 0.3), (0.2, 5.0), 0.001, 1e4)
    unique = []
    for what, change in found:
        if any(model.get(name) != value for name, value in change.items()) and (what, change) not in unique:
            unique.append((what, change))
    return unique


def formula(facts: Facts, spec: Spec) -> float:
    """Rough seconds for fitting a member on all folds with one thread, before anything was measured."""
    model: dict[str, Any] = spec["model"]
    one: float
    family = model["family"]
    n, k = facts.rows * (1 - 1 / max(2, facts.fold_count)), facts.classes if facts.classes > 2 else 1
    wide = sum(min(c.unique or 8, 150) for c in facts.columns if c.kind == "category")
    narrow = float(len(facts.columns) + 2 * len(spec.get("features", [])))
    matrix = narrow + (wide if family not in TREES else 0) + 100 * len(facts.kinds("text"))
    bag = int(spec.get("bag", 1))
    if family in ("booster", "hist_booster"):
        rate = model.get("learning_rate", 0.03 if family == "booster" else 0.04)
        cap = model.get("rounds", 2000 if family == "booster" else 600)
        rounds = min(cap, (25 if facts.regression else 8) / rate if n < LARGE else 40 / rate)
        share = model.get("colsample", 0.25) if family == "booster" else model.get("max_features", 0.3)
        depth = math.log2(max(2, model.get("leaves", 10)))
        per_tree = 1.2e-4 + n * narrow * max(share, 0.1) * depth * 1.6e-9
        refits = 2 if model.get("refit", True) and family == "booster" else 1
        one = 2.5 * rounds * refits * k * per_tree * (2.0 if family == "hist_booster" else 1.0)
    elif family == "trees":
        one = model.get("trees", 300) * n * math.log2(n) * narrow * model.get("max_features", 0.35) * 1.5e-8 + 0.2
    elif family in ("ridge", "naive_bayes", "discriminant"):
        one = 0.2 + n * matrix**1.5 * 1e-8 * (1 if facts.regression else 4 * k)
    elif family in ("elastic_net", "huber"):
        one = 0.2 + n * matrix * 1.2e-6 * (1 if facts.regression else 3 * k)
    elif family == "svm":
        one = n * n * matrix * (1.5e-9 if facts.regression else 4e-9) + 0.05
    elif family == "kernel_ridge":
        one = 0.1 + n**2 * matrix * 3e-10 + n**3 * 2e-11 * (1 if facts.regression else 3)
    elif family == "gaussian_process":
        one = 1.5 + n**3 * 1.5e-10
    elif family == "knn":
        one = n * n * matrix * 3e-10 + 0.05
    else:
        epochs = model.get("epochs", 150 if family == "mlp" else 40)
        one = epochs * n * (6e-6 if family == "mlp" else 6e-5)
    return max(0.05, one * bag * facts.fold_count)


def corrections(facts: Facts) -> dict[str, float]:
    """How many times as long as the formula says each family really took in this run (geometric mean of the latest)."""
    ratios: dict[str, list[float]] = {}
    for m in facts.library:
        if m.seconds is not None:
            ratios.setdefault(m.family, []).append(math.log(max(m.seconds, 0.02) / formula(facts, m.spec)))
    return {name: math.exp(sum(found[-8:]) / len(found[-8:])) for name, found in ratios.items()}


def estimate(facts: Facts, spec: Spec, corrected: dict[str, float]) -> float:
    """Seconds for fitting a member: the formula, times its correction for the family."""
    return formula(facts, spec) * corrected.get(spec["model"]["family"], 1.0)


FAMILIES_BY_VALUE = (
    *("svm", "kernel_ridge", "booster", "huber", "ridge", "discriminant", "hist_booster", "mlp", "trees"),
    *("gaussian_process", "network", "elastic_net", "naive_bayes", "knn"),
)
"""Families in the order in which they usually help a blend."""
