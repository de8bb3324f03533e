"""Moves on a member's model, target or encoding that a diagnosis calls for by name."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from gome.plugins.reasoner.playbook.facts import Facts
from gome.plugins.reasoner.playbook.families import LARGE, TREES
from gome.plugins.reasoner.playbook.fitted import MemberFacts
from gome.plugins.reasoner.playbook.idea import Idea
from gome.plugins.reasoner.playbook.moves.features import leading

_SMOOTH = frozenset(
    {"ridge", "elastic_net", "huber", "svm", "kernel_ridge", "gaussian_process", "knn", "mlp", "discriminant"}
)


def _edit(
    move: str,
    problem: str,
    component: str,
    index: int,
    m: MemberFacts,
    what: dict[str, Any],
    said: tuple[str, str],
    gain: float,
    chance: float,
    variant: str = "",
) -> Idea:
    """An idea that sets parts of one member."""
    return Idea(
        move=move,
        component=component,
        problem=problem,
        statement=said[0],
        reason=said[1],
        change={"edit": {"member": index, "set": what}},
        gain=gain * (0.2 + 0.8 * m.weight),
        chance=chance,
        family=m.family,
        variant=variant,
    )


def more_capacity(facts: Facts) -> Iterator[Idea]:
    """More rounds where the cap was reached; more leaves where training rows are not fitted."""
    for index, m in leading(facts, 3):
        if m.family not in ("booster", "hist_booster"):
            continue
        model = m.spec["model"]
        full = sum(i >= 0.95 * m.cap for i in m.iterations) if m.cap else 0
        leaves = int(model.get("leaves", 10 if m.family == "booster" else 12))
        if full:
            most = 20_000 if m.family == "booster" else 5_000
            rounds = min(most, int(2 * m.cap))
            yield _edit(
                "more rounds",
                "stops at its cap",
                "training",
                index,
                m,
                {"model": {"rounds": rounds}},
                (
                    f"Let the {m.family} run for up to {rounds} rounds",
                    f"it stops at its cap of {m.cap:.0f} rounds in {full} of {len(m.iterations)} folds, so it "
                    f"was still learning",
                ),
                0.015,
                0.7,
            )
            rate = float(model.get("learning_rate", 0.03))
            faster = min(0.3, round(1.8 * rate, 4))
            yield _edit(
                "more rounds",
                "stops at its cap",
                "training",
                index,
                m,
                {"model": {"learning_rate": faster}},
                (
                    f"Learn faster: rate {rate:g} → {faster:g} for the {m.family}",
                    f"it stops at its cap of {m.cap:.0f} rounds in {full} of {len(m.iterations)} folds; larger "
                    f"steps get "
                    "as far within the same rounds",
                ),
                0.010,
                0.6,
                "rate",
            )
        gap = 1.0
        if m.train is not None and m.score:
            gap = abs(m.score - m.train) / abs(m.score)
        for factor in (2, 4) if facts.rows > LARGE else (2,):
            more = min(255, leaves * factor)
            if (full or gap < 0.3 or facts.rows > LARGE) and more > leaves:
                yield _edit(
                    "more leaves",
                    "does not fit training rows closely",
                    "model",
                    index,
                    m,
                    {"model": {"leaves": more}},
                    (
                        f"Give the {m.family} trees of {more} instead of {leaves} leaves",
                        f"training and held-out errors differ by {gap:.0%} only; {facts.rows} rows can carry "
                        f"larger trees",
                    ),
                    0.010 if facts.rows > LARGE else 0.004,
                    0.5,
                )


def less_capacity(facts: Facts) -> Iterator[Idea]:
    """Smaller trees, fewer columns per tree, slower learning, more shrinkage."""
    for index, m in leading(facts, 2):
        model = m.spec["model"]
        gap = (
            f"its training error {m.train:.4g} is far from the held-out one, {m.score:.4g}"
            if m.train and m.score
            else ("its training error is far from the held-out one")
        )
        if m.family == "booster":
            leaves, child = int(model.get("leaves", 10)), int(model.get("min_child", 10))
            rate, share = float(model.get("learning_rate", 0.03)), float(model.get("colsample", 0.25))
            choices: list[tuple[str, dict[str, Any], str]] = [
                ("leaves", {"leaves": max(4, leaves * 2 // 3)}, f"{leaves} → {max(4, leaves * 2 // 3)} leaves"),
                (
                    "colsample",
                    {"colsample": max(0.1, round(share * 0.6, 3))},
                    f"{share:.0%} → {max(0.1, share * 0.6):.0%} of the columns per tree",
                ),
                (
                    "min_child",
                    {"min_child": min(200, child * 2)},
                    f"at least {child} → {min(200, child * 2)} rows per leaf",
                ),
                ("rate", {"learning_rate": round(rate * 0.6, 4)}, f"learning rate {rate:g} → {rate * 0.6:.3g}"),
            ]
            for variant, change, said in choices:
                yield _edit(
                    "less capacity",
                    "fits training rows too closely",
                    "model",
                    index,
                    m,
                    {"model": change},
                    (f"Restrain the booster: {said}", f"{gap}; {facts.rows} rows do not support this much detail"),
                    0.006,
                    0.45,
                    variant,
                )
        elif m.family in ("mlp", "network"):
            name, default = ("alpha", 1.0) if m.family == "mlp" else ("weight_decay", 0.01)
            now = float(model.get(name, default))
            yield _edit(
                "less capacity",
                "fits training rows too closely",
                "model",
                index,
                m,
                {"model": {name: now * 3}},
                (f"Restrain the {m.family}: {name} {now:g} → {now * 3:g}", gap),
                0.006,
                0.5,
                name,
            )


def finer_steps(facts: Facts) -> Iterator[Idea]:
    """A smaller learning rate with room for more rounds."""
    for index, m in leading(facts, 2):
        if m.family in ("booster", "hist_booster") and m.iterations:
            rate = float(m.spec["model"].get("learning_rate", 0.03))
            middle = sorted(m.iterations)[len(m.iterations) // 2]
            yield _edit(
                "finer steps",
                "learns too fast",
                "training",
                index,
                m,
                {"model": {"learning_rate": round(rate / 2, 4)}},
                (
                    f"Halve the {m.family}'s learning rate to {rate / 2:.3g}",
                    f"it is best after only {middle:.0f} rounds in the median fold, so its steps are coarse",
                ),
                0.006,
                0.6,
            )


def target(facts: Facts) -> Iterator[Idea]:
    """Another scale for the target of a regression."""
    if not facts.regression:
        return
    table = facts.profile.get("target")
    table = table if isinstance(table, dict) else {}
    skew, positive = table.get("skew"), table.get("positive", False)
    for index, m in leading(facts, 2):
        now = m.spec.get("target", "none")
        for name, gain in (("log1p", 0.02), ("quantile_normal", 0.004), ("yeo_johnson", 0.004), ("none", 0.002)):
            low = table.get("min")
            if name == now or (name == "log1p" and not positive and not (isinstance(low, (int, float)) and low >= 0)):
                continue
            relative = facts.metric in ("rmsle", "msle")
            if relative and name == "none":
                gain = 0.0005
            said = f"{skew:.2f}" if isinstance(skew, (int, float)) else "unknown"
            yield _edit(
                "target",
                "skewed target",
                "target",
                index,
                m,
                {"target": name},
                (
                    f"Fit the {m.family} on the {name} scale of the target instead of {now}",
                    f"the target's skew is {said}; on another scale large values pull less (metric: {facts.metric})",
                ),
                gain,
                0.4,
                name,
            )


def loss(facts: Facts) -> Iterator[Idea]:
    """A loss that outliers pull less, or the metric itself."""
    if not facts.regression:
        return
    own = {"mae": "l1", "mean_absolute_error": "l1"}.get(facts.metric, "")
    for index, m in leading(facts, 2):
        if m.family != "booster":
            continue
        now = m.spec["model"].get("objective", "auto")
        for name in dict.fromkeys([own, "huber", "fair", "l1"]):
            if not name or name == now or (m.spec.get("target", "none") != "none" and name in ("poisson", "tweedie")):
                continue
            yield _edit(
                "loss",
                "outliers",
                "training",
                index,
                m,
                {"model": {"objective": name}},
                (
                    f"Train the booster with the {name} loss instead of {now}",
                    "it is the metric itself" if name == own else "a few rows far off dominate the squared loss",
                ),
                0.02 if name == own else 0.003,
                0.6 if name == own else 0.35,
                name,
            )


def class_weight(facts: Facts) -> Iterator[Idea]:
    """Balance the classes of a member, for metrics that look at order only."""
    if facts.regression or facts.metric in ("log_loss", "logloss", "brier"):
        return
    for index, m in leading(facts, 2):
        if m.family in ("booster", "hist_booster", "trees", "ridge", "elastic_net", "svm") and not m.spec["model"].get(
            "class_weight"
        ):
            yield _edit(
                "class weight",
                "rare class",
                "training",
                index,
                m,
                {"model": {"class_weight": "balanced"}},
                (f"Weigh both classes alike in the {m.family}", f"{facts.metric} does not look at how rare a class is"),
                0.003,
                0.4,
            )


def temperature(facts: Facts) -> Iterator[Idea]:
    """Rescale probabilities by one number."""
    if facts.regression or facts.metric not in ("log_loss", "logloss"):
        return
    for index, m in leading(facts, 3):
        if not m.spec.get("temperature"):
            yield _edit(
                "temperature",
                "poorly calibrated",
                "training",
                index,
                m,
                {"temperature": True},
                (
                    f"Rescale the {m.family}'s probabilities by one cross-fitted temperature",
                    f"{facts.metric} punishes probabilities that are too sure or too timid",
                ),
                0.015 if m.family in ("trees", "discriminant", "knn", "naive_bayes") else 0.005,
                0.5,
            )


def encoding(facts: Facts) -> Iterator[Idea]:
    """Other ways to make numbers of columns."""
    for index, m in leading(facts, 2):
        now = m.spec.get("encoding") or {}
        if m.family in _SMOOTH:
            options: list[tuple[str, dict[str, Any], str]] = [
                (
                    "quantile",
                    {"numbers": "quantile"},
                    "numbers become normal by their ranks, so that outliers and skew vanish",
                ),
                ("rare", {"rare": 15}, "levels of fewer than 15 rows are merged: their columns are mostly noise"),
            ]
        elif m.family in TREES:
            options = [
                ("target", {"categories": "target"}, "one mean target per level orders the levels for the trees"),
                (
                    "codes",
                    {"categories": "codes"},
                    "levels in the order of their frequency need fewer rows than native splits",
                ),
            ]
        else:
            continue
        for name, change, why in options:
            if all(now.get(k) == v for k, v in change.items()) or (not facts.kinds("category") and name != "quantile"):
                continue
            if name in ("target", "codes") and m.family in TREES and facts.classes > 8:
                continue
            yield _edit(
                "encoding",
                "settings are first guesses",
                "data",
                index,
                m,
                {"encoding": change},
                (f"Encode the {m.family}'s columns otherwise: {name}", why),
                0.004,
                0.4,
                name,
            )


def bag(facts: Facts) -> Iterator[Idea]:
    """Average several seeds of members that depend on one."""
    for index, m in leading(facts, 3):
        if m.family in ("booster", "mlp", "network", "hist_booster") and m.bag == 1:
            yield _edit(
                "bag",
                "one seed",
                "ensemble",
                index,
                m,
                {"bag": 3},
                (
                    f"Average three seeds of the {m.family}",
                    f"its random choices move the score by {facts.seed_noise:.2g}"
                    if facts.seed_noise
                    else "its random choices move the score; the mean of three moves it less",
                ),
                0.005,
                0.6,
            )
