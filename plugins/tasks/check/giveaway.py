"""Does one column give the target away? Known too late, derived from it, or a property of the class."""

from __future__ import annotations

import numpy as np
import pandas as pd

from gome.kernel.tasks import Finding
from gome.plugins.tasks.check.sample import Array, Sample, names

ROWS = 4000
MANY = 20
"""A column with more different values may name things that rows belong to."""
TOO_GOOD = 0.98
"""AUC, R² of ranks or (for several classes) accuracy above chance that no honest single column reaches."""


def check_giveaway(sample: Sample) -> list[Finding]:
    """Fit each column alone on half of the rows, score it on the other half; look for columns constant per class."""
    rows = sample.draw(len(sample.train), ROWS, 4)
    target = sample.target[rows]
    half = np.random.default_rng(5).permutation(len(rows)) < len(rows) // 2
    numbers = sample.numbers[0].iloc[rows]
    found = []
    constant = _constant_per_class(sample)
    if constant:
        found.append(
            Finding(
                "leak",
                "constant per class",
                f"{len(constant)} columns have one value for all rows of a class: {names(constant)}.",
                "They describe the class, not the row, and will not be known for new rows: --drop "
                + ",".join(constant),
                tuple(constant),
            )
        )
    for name in sample.features:
        if name in constant:
            continue
        alone = 0.0
        if name in numbers:
            alone = _alone(np.asarray(numbers[[name]].fillna(-1e9)), target, half, sample.task.kind)
        looked_up, covered = _looked_up(sample.train[name].iloc[rows].astype(str), target, half, sample.task.kind)
        if max(alone, looked_up) <= TOO_GOOD:
            continue
        how = "" if alone > TOO_GOOD else f" for the {covered:.0%} of the rows whose value has been seen before"
        advice = f"Is it known before {sample.task.target!r} is? If not, --drop {name}."
        if looked_up > TOO_GOOD and sample.train[name].nunique() > MANY:
            advice += f" If it names something that rows belong to, --group {name}."
        found.append(
            Finding(
                "leak",
                "giveaway column",
                f"{name!r} alone predicts {sample.task.target!r} with {_measure(sample)} "
                f"{max(alone, looked_up):.3f}{how}.",
                advice,
                (name,),
            )
        )
    return found


def _measure(sample: Sample) -> str:
    return {"regression": "R² (of ranks)", "binary": "AUC", "multiclass": "accuracy above chance"}[sample.task.kind]


def _alone(column: Array, target: Array, half: Array, kind: str) -> float:
    from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

    leaf = max(3, int(half.sum()) // 400)
    if kind == "regression":
        tree = DecisionTreeRegressor(max_leaf_nodes=128, min_samples_leaf=leaf, random_state=0)
        return _score(tree.fit(column[half], target[half]).predict(column[~half]), target[~half], kind)
    if len(np.unique(target[half])) < 2:
        return 0.0
    sorter = DecisionTreeClassifier(max_leaf_nodes=128, min_samples_leaf=leaf, random_state=0)
    sorter.fit(column[half], target[half])
    guess = sorter.predict_proba(column[~half])[:, 1] if kind == "binary" else sorter.predict(column[~half])
    return _score(guess, target[~half], kind)


def _looked_up(column: pd.Series, target: Array, half: Array, kind: str) -> tuple[float, float]:
    """Score a plain table from value to (mean or commonest) target, on rows whose value is in it; and their share."""
    first = pd.Series(target[half]).groupby(np.asarray(column[half]))
    table = (
        first.agg(lambda values: values.mode().iloc[0])
        if kind == "multiclass" and first.ngroups < 500
        else first.mean()
    )
    guess = np.asarray(column[~half].map(table), dtype=float)
    seen = ~np.isnan(guess)
    if table.size < 2 or seen.mean() < 0.3 or seen.sum() < 50 or table.size > 0.8 * half.sum():
        return 0.0, 0.0
    return _score(guess[seen], target[~half][seen], kind), float(seen.mean())


def _score(guess: Array, truth: Array, kind: str) -> float:
    if kind == "regression":
        spread = float(np.var(truth))
        return 1 - float(np.mean((truth - guess) ** 2)) / spread if spread else 0.0
    if kind == "binary":
        from sklearn.metrics import roc_auc_score

        few = int(min((truth == 0).sum(), (truth == 1).sum()))
        if few < 5:
            return 0.0
        area = float(roc_auc_score(truth, guess))
        return max(area, 1 - area)
    chance = float((np.bincount(truth) / len(truth)).max())
    return (float(np.mean(guess == truth)) - chance) / (1 - chance) if chance < 1 else 0.0


def _constant_per_class(sample: Sample) -> list[str]:
    if len(sample.task.classes) < 3 or len(sample.train) < 3 * len(sample.task.classes):
        return []
    by_class = sample.train[sample.features].astype(str).groupby(sample.target)
    most = by_class.nunique().max()
    varied = sample.train[sample.features].nunique(dropna=False) > 1
    return [name for name in sample.features if most[name] == 1 and varied[name]]
