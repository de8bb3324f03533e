"""Graders that a competition made for itself: weighted areas, likelihoods, angles, boxes, positions on earth."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import pearsonr, spearmanr
from sklearn.metrics import (
    auc,
    average_precision_score,
    label_ranking_average_precision_score,
    roc_auc_score,
    roc_curve,
)

from gome.plugins.tasks.mlebench.graders.checking import Array, InvalidSubmission, aligned, need, same_length

BANDS = ((0.0, 0.4, 2.0), (0.4, 1.0, 1.0))
"""Bands of the true-positive rate (from, to) and their weights."""


def steganalysis(submission: pd.DataFrame, answers: pd.DataFrame) -> float:
    """Area under the ROC curve in which the band of true-positive rates below 0.4 weighs double."""
    mine, theirs = aligned(submission, answers, "Id", ("Label",))
    scores = mine["Label"].astype(float)
    if scores.isna().any():
        raise InvalidSubmission("a label is missing")
    false, true, _ = roc_curve(theirs["Label"].astype(float), scores, pos_label=1)
    if 0.4 not in true:
        # The curve gets a point at the border of the bands, on the straight line between its neighbours.
        place = int(np.argmax(true > 0.4))
        false = np.insert(false, place, np.interp(0.4, true[place - 1 : place + 1], false[place - 1 : place + 1]))
        true = np.insert(true, place, 0.4)
    total = 0.0
    for low, high, weight in BANDS:
        inside = (low <= true) & (true <= high)
        total += weight * auc(np.append(false[inside], 1.0), np.append(true[inside], high) - low)
    return float(total / sum((high - low) * weight for low, high, weight in BANDS))


IDENTITIES = (
    "male",
    "female",
    "homosexual_gay_or_lesbian",
    "christian",
    "jewish",
    "muslim",
    "black",
    "white",
    "psychiatric_or_mental_illness",
)


def bias(submission: pd.DataFrame, answers: pd.DataFrame) -> float:
    """A quarter each: overall area, and the power means (p = −5) over identities of three areas within and across them.

    Predictions are cut at 0.5 before, so that only 0 and 1 are ranked.
    """
    if "prediction" not in submission and "toxicity" not in submission:
        raise InvalidSubmission("the submission lacks the column 'prediction'")
    mine, theirs = aligned(submission, answers, "id", length=False)
    if "prediction" in mine and "toxicity" in mine:
        raise InvalidSubmission("the submission has 'prediction' and 'toxicity'; one of them is asked for")
    given = (mine["prediction" if "prediction" in mine else "toxicity"] >= 0.5).to_numpy()
    toxic = (theirs["toxicity"] >= 0.5).to_numpy()
    areas = []
    for name in IDENTITIES:
        about = (theirs[name] >= 0.5).to_numpy()
        parts = (about, toxic != about, toxic == about)
        areas.append([roc_auc_score(toxic[part], given[part]) for part in parts])
    means = (np.mean(np.array(areas) ** -5.0, axis=0)) ** (-1 / 5)
    return float(0.25 * roc_auc_score(toxic, given) + 0.25 * means.sum())


def lungs(submission: pd.DataFrame, answers: pd.DataFrame) -> float:
    """Laplace log likelihood of the last three measured weeks of each patient that are in the submission.

    Deviations are at least 70, errors at most 1000.
    """
    need(submission, ("Patient_Week", "FVC", "Confidence"))
    if not set(submission["Patient_Week"]) <= set(answers["Patient_Week"]):
        raise InvalidSubmission("a Patient_Week is not among those that are to be predicted")
    if not all(pd.api.types.is_numeric_dtype(submission[name]) for name in ("FVC", "Confidence")):
        raise InvalidSubmission("FVC and Confidence are numbers")
    measured = answers.dropna(subset=["FVC"])
    week = measured["Patient_Week"].map(lambda text: int(text.split("_")[-1]))
    last = measured.assign(week=week).sort_values("week").groupby("Patient").tail(3)
    mine = submission[submission["Patient_Week"].isin(last["Patient_Week"])].sort_values("Patient_Week")
    theirs = last[last["Patient_Week"].isin(mine["Patient_Week"])].sort_values("Patient_Week")
    deviation = np.maximum(mine["Confidence"].fillna(0).to_numpy(dtype=float), 70)
    error = np.minimum(np.abs(theirs["FVC"].to_numpy() - mine["FVC"].to_numpy()), 1000)
    return float(np.mean(-np.sqrt(2) * error / deviation - np.log(np.sqrt(2) * deviation)))


def pearson(submission: pd.DataFrame, answers: pd.DataFrame) -> float:
    """Linear correlation; NaN for a constant prediction, which is a valid submission without a medal."""
    mine, theirs = aligned(submission, answers, "id", ("score",))
    return float(pearsonr(theirs["score"].to_numpy(), mine["score"].to_numpy())[0])


def mean_spearman(submission: pd.DataFrame, answers: pd.DataFrame) -> float:
    """Mean over all columns of the answers of the rank correlation; no other columns are allowed."""
    targets = [str(name) for name in answers.columns if name != "qa_id"]
    need(submission, ("qa_id", *targets), exactly=True)
    mine, theirs = aligned(submission, answers, "qa_id")
    return float(np.mean([spearmanr(mine[name], theirs[name]).statistic for name in targets]))


def angle(submission: pd.DataFrame, answers: pd.DataFrame) -> float:
    """Mean angle between true and predicted directions, in radians."""
    need(submission, ("event_id", "azimuth", "zenith"), exactly=True)
    for name in ("azimuth", "zenith"):
        if not pd.api.types.is_numeric_dtype(submission[name]) or not np.isfinite(submission[name]).all():
            raise InvalidSubmission(f"{name} is a finite number in every row")
    mine, theirs = aligned(submission, answers, "event_id")
    first, second = _direction(mine), _direction(theirs)
    return float(np.mean(np.arccos(np.clip((first * second).sum(axis=0), -1, 1))))


def _direction(table: pd.DataFrame) -> Array:
    """Unit vectors, shape (3, rows)."""
    azimuth, zenith = table["azimuth"].to_numpy(), table["zenith"].to_numpy()
    return np.stack([np.sin(zenith) * np.cos(azimuth), np.sin(zenith) * np.sin(azimuth), np.cos(zenith)])


VERTEBRAE = ("patient_overall", "C1", "C2", "C3", "C4", "C5", "C6", "C7")
NEGATIVE = np.array([7.0, 1, 1, 1, 1, 1, 1, 1])
"""Weights of a study's labels where they are 0; twice as much where they are 1."""


def fractures(submission: pd.DataFrame, answers: pd.DataFrame) -> float:
    """Log loss of eight labels per study, weighted and divided by the sum of weights, then the mean over studies."""
    need(submission, ("row_id", "fractured"))
    if not submission["fractured"].between(0, 1).all():
        raise InvalidSubmission("fractured is a probability, between 0 and 1, in every row")
    mine, theirs = aligned(submission, answers, "row_id")
    given, truth = _studies(mine), _studies(theirs)
    given = np.clip(given, 1e-15, 1 - 1e-15)
    weights = NEGATIVE * (1 + truth)
    losses = -(truth * np.log(given) + (1 - truth) * np.log(1 - given)) * weights
    return float(np.mean(losses.sum(axis=1) / weights.sum(axis=1)))


def _studies(table: pd.DataFrame) -> Array:
    parts = table["row_id"].str.split("_", n=1, expand=True)
    wide = pd.DataFrame({"study": parts[0], "label": parts[1], "value": table["fractured"]})
    return wide.pivot(index="study", columns="label", values="value")[list(VERTEBRAE)].to_numpy(dtype=float)


def probabilistic_f1(submission: pd.DataFrame, answers: pd.DataFrame) -> float:
    """F1 in which a probability counts as that share of a positive; 0 where nothing is predicted."""
    mine, theirs = aligned(submission, answers, "prediction_id", ("cancer",))
    given = np.clip(mine["cancer"].to_numpy(dtype=float), 0, 1)
    if np.isnan(given).any():
        raise InvalidSubmission("cancer is missing in some rows")
    positive = theirs["cancer"].to_numpy(dtype=bool)
    hits = given[positive].sum()
    return float(2 * hits / (given.sum() + positive.sum())) if hits > 0 else 0.0


VOTES = ("seizure_vote", "lpd_vote", "gpd_vote", "lrda_vote", "grda_vote", "other_vote")


def divergence(submission: pd.DataFrame, answers: pd.DataFrame) -> float:
    """Mean Kullback–Leibler divergence of predicted shares from the shares of votes."""
    need(submission, ("eeg_id", *VOTES), exactly=True)
    same_length(submission, answers)
    shares = submission[list(VOTES)]
    if not all(round(total, 5) == 1 for total in shares.sum(axis=1)) or shares.lt(0).any().any():
        raise InvalidSubmission("the probabilities of each row sum to 1, none is negative")
    mine, theirs = aligned(submission, answers, "eeg_id")
    truth = theirs[list(VOTES)].to_numpy(dtype=float)
    truth = truth / truth.sum(axis=1, keepdims=True)
    given = np.clip(mine[list(VOTES)].to_numpy(dtype=float), 1e-15, 1 - 1e-15)
    terms = np.where(truth > 0, truth * np.log(np.where(truth > 0, truth, 1.0) / given), 0.0)
    return float(terms.sum(axis=1).mean())


def lwlrap(submission: pd.DataFrame, answers: pd.DataFrame) -> float:
    """Label-ranking average precision in which every label of every clip weighs the same."""
    same_length(submission, answers)
    if [str(name) for name in submission.columns] != [str(name) for name in answers.columns]:
        raise InvalidSubmission("the columns are fname and the classes, in the order of the sample submission")
    mine, theirs = aligned(submission, answers, "fname")
    given = mine.iloc[:, 1:].apply(pd.to_numeric).to_numpy(dtype=float)
    truth = theirs.iloc[:, 1:].to_numpy(dtype=float) > 0
    labels = truth.sum(axis=1)
    some = labels > 0
    return float(label_ranking_average_precision_score(truth[some], given[some], sample_weight=labels[some]))


def characters(submission: pd.DataFrame, answers: pd.DataFrame) -> float:
    """F1 of characters on pages: a point inside a box of the same character is a hit, each point once."""
    mine, theirs = aligned(submission, answers, "image_id", ("labels",))
    hits = given = wanted = 0
    for page, truth in zip(mine["labels"], theirs["labels"], strict=True):
        points, boxes = _items(page, 3), _items(truth, 5)
        used = set[int]()
        for label, x, y, width, height in boxes:
            left, top = float(x), float(y)
            right, bottom = left + float(width), top + float(height)
            for place, (name, across, down) in enumerate(points):
                inside = left < float(across) < right and top < float(down) < bottom
                if inside and name == label and place not in used:
                    used.add(place)
                    break
        hits, given, wanted = hits + len(used), given + len(points), wanted + len(boxes)
    return 2 * hits / (given + wanted) if hits else 0.0


def _items(text: Any, size: int) -> list[list[str]]:
    if pd.isna(text):
        return []
    words = text.split(" ")
    if len(words) % size:
        raise InvalidSubmission(f"labels are groups of {size} words")
    for word in (word for place, word in enumerate(words) if place % size):
        float(word)
    return [words[place : place + size] for place in range(0, len(words), size)]


Box = tuple[str, float, float, float, float, float]


def boxes(submission: pd.DataFrame, answers: pd.DataFrame) -> float:
    """Mean over labels of the average precision of boxes; a hit overlaps a true box by more than half.

    True boxes that nothing hits count as positives with confidence 0, images with neither as negatives with 0.
    """
    mine, theirs = aligned(submission, answers, "id", ("PredictionString",))
    given = [_boxes(text) for text in mine["PredictionString"]]
    truth = [_boxes(text) for text in theirs["PredictionString"]]
    labels = sorted({box[0] for image in truth for box in image})
    return float(np.mean([_precision(label, given, truth) for label in labels])) if labels else 0.0


def _boxes(text: str) -> list[Box]:
    words = text.split()
    groups = [words[place : place + 6] for place in range(0, len(words), 6)]
    if any(len(group) < 6 for group in groups):
        raise InvalidSubmission("a box is LABEL CONFIDENCE XMIN YMIN XMAX YMAX")
    return [(g[0], float(g[1]), float(g[2]), float(g[3]), float(g[4]), float(g[5])) for g in groups]


def _precision(label: str, given: Sequence[list[Box]], truth: Sequence[list[Box]]) -> float:
    right: list[int] = []
    confidence: list[float] = []
    for guesses, wanted in zip(given, truth, strict=True):
        left = [box[2:] for box in wanted if box[0] == label]
        seen = bool(left)
        for box in sorted((box for box in guesses if box[0] == label), key=lambda box: -box[1]):
            overlaps = [_overlap(box[2:], other) for other in left]
            best = int(np.argmax(overlaps)) if overlaps else -1
            hit = best >= 0 and overlaps[best] > 0.5
            if hit:
                del left[best]
            right.append(int(hit))
            confidence.append(box[1])
            seen = True
        right += [1] * len(left) + ([] if seen else [0])
        confidence += [0.0] * len(left) + ([] if seen else [0.0])
    if all(right):
        raise InvalidSubmission(f"the average precision of {label!r} is not defined")
    return float(average_precision_score(right, confidence))


def _overlap(a: Sequence[float], b: Sequence[float]) -> float:
    """Common area over united area."""
    width = max(0.0, min(a[2], b[2]) - max(a[0], b[0]))
    common = width * max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    united = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - common
    return common / united if united > 0 else 0.0


EARTH = 6_371_000.0
"""Radius in metres."""


def positions(submission: pd.DataFrame, answers: pd.DataFrame) -> float:
    """Mean over trips of the mean of the 50th and 95th percentile of the distance in metres; rows go by position."""
    need(submission, ("tripId", "UnixTimeMillis", "LatitudeDegrees", "LongitudeDegrees"))
    same_length(submission, answers)
    scores = []
    for trip, theirs in answers.groupby("tripId", sort=False):
        mine = submission[submission["tripId"] == trip]
        same_length(mine, theirs)
        off = _metres(mine, theirs)
        scores.append(np.mean([np.quantile(off, 0.5), np.quantile(off, 0.95)]))
    return float(np.mean(scores))


def _metres(first: pd.DataFrame, second: pd.DataFrame) -> Array:
    """Great-circle distance (haversine)."""
    columns = ("LatitudeDegrees", "LongitudeDegrees")
    (lat, lon), (lat2, lon2) = (
        [np.deg2rad(t[name].to_numpy(dtype=float)) for name in columns] for t in (first, second)
    )
    chord = np.sin((lat2 - lat) / 2) ** 2 + np.cos(lat) * np.cos(lat2) * np.sin((lon2 - lon) / 2) ** 2
    return np.asarray(2 * EARTH * np.arcsin(np.sqrt(chord)))
