"""Handwritten digits: images of eight times eight pixels, a pixel a column."""

from __future__ import annotations

from gome.plugins.tasks.suite.facts import Facts, by_class

FACTS = Facts(
    name="digits",
    title="which digit was written",
    package="sklearn",
    item="load_digits",
    kind="multiclass",
    metric="log_loss",
    target="target",
    rows=1797,
    features=64,
    raw=(1797, 65),
    split="30 % held out, stratified by class",
    duplicates="none, neither whole rows nor features",
    source="Alpaydin and Kaynak (1998), Optical Recognition of Handwritten Digits, UCI Machine Learning Repository, "
    "test part; `load_digits` of scikit-learn",
    licence="CC BY 4.0 (UCI); scikit-learn is BSD-3",
    part="dev",
    description="Predict which digit (0 to 9) an image of 8 x 8 pixels shows; every pixel is a column, row by row, "
    "from 0 (blank) to 16. Scored by the multi-class log loss.",
    clean=lambda frame: frame,
    strata=by_class("target"),
    traps=(
        "The source lists digits in the order in which people wrote them (0, 1, 2, … again and again): rows are "
        "shuffled before ids are given.",
        "Thirteen people wrote the digits and nobody says who wrote which, so the same hand is on both sides: scores "
        "are those for known writers.",
        "Three pixels at the left edge are 0 in every image; they are kept as delivered.",
    ),
    notes={
        "pixel_0_0": "top left; always 0",
        "pixel_0_7": "top right",
        "pixel_3_3": "near the middle, as are the pixels around it",
        "pixel_7_7": "bottom right",
    },
)
