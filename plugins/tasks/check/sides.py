"""Are the two tables what they claim: alike (drift), apart in groups, apart in time?"""

from __future__ import annotations

import re

import numpy as np
import pandas as pd

from gome.kernel.tasks import Finding
from gome.plugins.tasks.check.sample import Sample, moments, names

ROWS = 2000
DRIFT = 0.6
"""Area under the curve of telling train from test from which the tables differ."""
ENTITY = re.compile(
    r"(^|_|\b)(user|customer|client|patient|subject|person|account|device|store|shop|product|item|session|household|"
    r"company|player|family)[ _]?(id|no|nr|number|code|key)?$",
    re.IGNORECASE,
)


def check_drift(sample: Sample) -> list[Finding]:
    """Train a small forest to tell train from test; name the columns it uses."""
    from sklearn.ensemble import ExtraTreesClassifier
    from sklearn.metrics import roc_auc_score
    from sklearn.model_selection import StratifiedKFold

    train, test = sample.numbers
    if sample.task.time in train:
        train, test = train.drop(columns=sample.task.time), test.drop(columns=sample.task.time)
    count = min(len(train), len(test), ROWS)
    if count < 20 or train.shape[1] == 0:
        return []
    table = pd.concat([train.iloc[sample.draw(len(train), count, 6)], test.iloc[sample.draw(len(test), count, 7)]])
    known = np.asarray(table.fillna(-1e9), dtype=np.float32)
    side = np.repeat([0, 1], count)
    areas, weight = [], np.zeros(known.shape[1])
    for fit, score in StratifiedKFold(3, shuffle=True, random_state=0).split(known, side):
        forest = ExtraTreesClassifier(60, min_samples_leaf=5, max_features=0.3, random_state=0, n_jobs=1)
        forest.fit(known[fit], side[fit])
        areas.append(roc_auc_score(side[score], forest.predict_proba(known[score])[:, 1]))
        weight += forest.feature_importances_
    area = float(np.mean(areas))
    sure = (area - 0.5) / np.sqrt((2 * count + 1) / (12 * count * count))
    if area < DRIFT or sure < 4:
        return []
    order = np.argsort(-weight)
    heavy = [str(train.columns[index]) for index in order[:5] if weight[index] > 1.5 * weight.mean()]
    heavy = heavy or [str(train.columns[order[0]])]
    return [
        Finding(
            "warning",
            "drift",
            f"training rows and rows to predict can be told apart (AUC {area:.2f}, chance .50), above all by "
            f"{names(heavy)}.",
            "Validation scores will flatter: prefer features that stay alike, or --drop these; if rows come in time, "
            "name the time column.",
            tuple(heavy),
        )
    ]


def check_groups(sample: Sample) -> list[Finding]:
    """A declared group must not be on both sides; an undeclared column that looks like one is worth a word."""
    found = []
    group = sample.task.group
    if group and group in sample.test:
        both = set(sample.train[group].astype(str)) & set(sample.test[group].astype(str))
        if both:
            rows = float(sample.test[group].astype(str).isin(both).mean())
            found.append(
                Finding(
                    "leak",
                    "groups",
                    f"{len(both):,} groups of {group!r} lie in both tables ({rows:.0%} of the rows to predict).",
                    "Split whole groups, or do without --group if the same ones come again when the model is used.",
                    (group,),
                )
            )
    for name in sample.features:
        if group or not ENTITY.search(name) or name not in sample.test:
            continue
        known = sample.train[name].dropna().astype(str)
        different = known.nunique()
        shared = float(sample.test[name].astype(str).isin(set(known)).mean())
        if 10 <= different < 0.5 * len(known) and shared > 0.5:
            found.append(
                Finding(
                    "warning",
                    "groups",
                    f"{name!r} looks like something that rows belong to ({different:,} different), and {shared:.0%} "
                    f"of the rows to predict belong to one that is in the training table.",
                    f"If new ones are to be predicted later, split whole groups: --group {name}.",
                    (name,),
                )
            )
    return found


def check_time(sample: Sample) -> list[Finding]:
    """With a time column the rows to predict must come later than the training rows; without one, say if there could be
    one."""
    name = sample.task.time
    if name and name in sample.train and name in sample.test:
        before, after = moments(sample.train[name]), moments(sample.test[name])
        early = float((after <= before.max()).mean())
        if early > 0:
            return [
                Finding(
                    "leak",
                    "time order",
                    f"{early:.0%} of the rows to predict are not later than the last training row by {name!r}.",
                    "The future would explain the past: hold out the latest rows, or leave the time column out.",
                    (name,),
                )
            ]
        return []
    times = [column.name for column in sample.task.columns if column.kind == "time"]
    if not times or name:
        return []
    return [
        Finding(
            "info",
            "time order",
            f"there are times ({names(times)}) but rows are split without regard to them.",
            f"If the future is to be predicted: --time-column {times[0]}.",
            tuple(times),
        )
    ]
