"""Bundles for what only some tables have: places, gaps, texts, dates, and columns that drift."""

from __future__ import annotations

from collections.abc import Sequence

from gome.plugins.reasoner.playbook.bundles.bundle import Bundle, listed
from gome.plugins.reasoner.playbook.columns import place
from gome.plugins.reasoner.playbook.facts import Facts


def space(facts: Facts, importance: Sequence[tuple[str, float]]) -> list[Bundle]:
    """Return the mean target of the nearest rows, where there are coordinates."""
    where = place(facts.columns, facts.profile)
    if not where or facts.classes > 4:
        return []
    return [
        Bundle(
            "space",
            "places",
            ({"op": "neighbours", "columns": list(where), "k": [5, 15]},),
            f"Add the mean target of the 5 and 15 nearest training rows by {where[0]} and {where[1]}",
            "the columns are coordinates: what is next door tells more than two axes cut by thresholds",
            0.004,
            0.02,
        )
    ]


def missing(facts: Facts, importance: Sequence[tuple[str, float]]) -> list[Bundle]:
    """Return the marks of missing values."""
    holes = [c for c in facts.columns if c.missing > 0.005]
    if not holes:
        return []
    worst = max(holes, key=lambda c: c.missing)
    return [
        Bundle(
            "missing",
            "missing values",
            ({"op": "missing_indicators"},),
            f"Mark missing values ({len(holes)} columns) and count them per row",
            f"{len(holes)} columns have gaps, {worst.name} in {worst.missing:.0%} of its rows; that a value is missing "
            "may itself tell something, and is lost when gaps are filled",
            0.001,
            0.004,
        )
    ]


def texts(facts: Facts, importance: Sequence[tuple[str, float]]) -> list[Bundle]:
    """Return the terms, and the parts of words, of each text."""
    found = []
    for column in facts.kinds("text")[:2]:
        found.append(
            Bundle(
                "text_terms",
                "text",
                (
                    {"op": "tfidf", "column": column.name, "svd": 100},
                    {"op": "text_statistics", "column": column.name},
                ),
                f"Read {column.name} as terms (100 components of TF-IDF) and by its length and style",
                f"{column.name} is text: almost all it says lies in its words",
                0.15,
                0.15,
            )
        )
        found.append(
            Bundle(
                "text_characters",
                "text",
                ({"op": "tfidf", "column": column.name, "analyzer": "char_wb", "ngrams": 4, "svd": 100},),
                f"Add character n-grams of {column.name} (100 components)",
                "parts of words catch spellings, endings and negations that whole words miss",
                0.02,
                0.02,
            )
        )
    return found


def dates(facts: Facts, importance: Sequence[tuple[str, float]]) -> list[Bundle]:
    """Return the parts of time stamps."""
    return [
        Bundle(
            "dates",
            "dates",
            tuple({"op": "date_parts", "column": c.name} for c in facts.kinds("time")[:3]),
            f"Split {listed([c.name for c in facts.kinds('time')])} into year, month, weekday and hour",
            "a time stamp as one number hides what repeats: seasons, weekdays, hours",
            0.03,
            0.03,
        )
    ] * bool(facts.kinds("time"))


def drift(facts: Facts, importance: Sequence[tuple[str, float]]) -> list[Bundle]:
    """Return the columns to leave out because they differ between training and test rows."""
    adversarial = facts.profile.get("adversarial")
    auc = adversarial.get("auc") if isinstance(adversarial, dict) else None
    drifts = isinstance(auc, (int, float)) and auc > 0.6
    drifting = sorted((c for c in facts.columns if (c.drift or 0.0) > 0.2 and drifts), key=lambda c: -(c.drift or 0.0))[
        :3
    ]
    if not drifting:
        return []
    return [
        Bundle(
            "drift",
            "drift",
            ({"op": "drop", "columns": [c.name for c in drifting]},),
            f"Leave out {listed([c.name for c in drifting])}",
            f"test rows can be told from training rows (AUC {auc:.2f}), most of all by {drifting[0].name} "
            f"({drifting[0].drift or 0:.0%} of it); what is learnt from such columns does not carry over",
            0.004,
            0.004,
        )
    ]
