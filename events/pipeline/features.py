"""What stands in front of a model: feature steps that add columns, and the encoding that makes a matrix of them.

Steps that look at the target are fitted inside the training folds only, and cross-fitted there. How any of it is
computed is the pipeline mutator's.
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from gome.events.pipeline.bounds import Closed, Columns


class Feature(Closed, frozen=True, tag_field="op"):
    """A step that adds (or drops) columns; steps run in order, so later ones see earlier ones' columns."""


class Ratio(Feature, frozen=True, tag="ratio"):
    """Adds `a / b` (NaN where b is 0) as `<a>_per_<b>`."""

    a: str
    b: str


class Product(Feature, frozen=True, tag="product"):
    """Adds `a * b` as `<a>_times_<b>`."""

    a: str
    b: str


class Difference(Feature, frozen=True, tag="difference"):
    """Adds `a - b` as `<a>_minus_<b>`; also for ages from two years."""

    a: str
    b: str


class Sum(Feature, frozen=True, tag="sum"):
    """Adds the sum of same-unit columns (missing counts as 0), weighted if asked, as `name`."""

    columns: Annotated[Columns, Meta(min_length=2, max_length=40)]
    name: Annotated[str, Meta(min_length=1, max_length=60)]
    weights: tuple[float, ...] = ()


class Ordinal(Feature, frozen=True, tag="ordinal"):
    """Adds `<column>_rank`: position of the category in `order` (worst first, 0-based); others are NaN."""

    column: str
    order: Annotated[tuple[str, ...], Meta(min_length=2, max_length=100)]


class Quality(Feature, frozen=True, tag="quality"):
    """Adds `<column>_rank` for columns that speak a known vocabulary of quality or size (Po < Fa < TA < Gd < Ex, poor …
    excellent, low < medium < high, none first, …). Without `columns` all category columns are tried and those that do
    not fit are left alone."""

    columns: Columns = ()


class TargetEncoding(Feature, frozen=True, tag="target_encoding"):
    """Adds `<column>_target`: smoothed mean target of the category (one per class if multiclass), cross-fitted.

    Without `columns`, category columns with at least `min_cardinality` levels; `joint` makes one key of all columns.
    """

    columns: Columns = ()
    smoothing: Annotated[float, Meta(ge=0.0, le=1000.0)] = 10.0
    joint: bool = False
    min_cardinality: Annotated[int, Meta(ge=2, le=10_000)] = 8


class CountEncoding(Feature, frozen=True, tag="count_encoding"):
    """Adds `<column>_count`: how often the category occurs in the training rows; without `columns` all categories."""

    columns: Columns = ()


class GroupStatistics(Feature, frozen=True, tag="group_statistics"):
    """Adds mean (std, …) of a numeric column over the rows that share category `by`, and optionally the row's
    difference to the mean."""

    by: str
    columns: Annotated[Columns, Meta(min_length=1, max_length=20)]
    statistics: tuple[Literal["mean", "std", "median", "min", "max"], ...] = ("mean",)
    difference: bool = True


class Neighbours(Feature, frozen=True, tag="neighbours"):
    """Adds the mean target of the k nearest training rows in the space of some numeric columns (longitude and latitude,
    say), cross-fitted; one feature per k (and class)."""

    columns: Annotated[Columns, Meta(min_length=1, max_length=30)]
    k: Annotated[tuple[Annotated[int, Meta(ge=1, le=500)], ...], Meta(min_length=1, max_length=5)] = (10,)
    scale: bool = False


class MissingIndicators(Feature, frozen=True, tag="missing_indicators"):
    """Adds `<column>_missing` for columns with missing values in training, and the row's number of missing values."""

    columns: Columns = ()


class Cross(Feature, frozen=True, tag="cross"):
    """Adds a category column made of several (for example month × carrier), named by them."""

    columns: Annotated[Columns, Meta(min_length=2, max_length=4)]


class Categorise(Feature, frozen=True, tag="categorise"):
    """Treats numeric code columns (zip code, class code) as categories, under the same name."""

    columns: Annotated[Columns, Meta(min_length=1, max_length=40)]


class Tfidf(Feature, frozen=True, tag="tfidf"):
    """TF-IDF of a text column: `svd` = 0 gives the sparse terms (linear models, booster with few terms only), > 0 that
    many components of its truncated SVD."""

    column: str
    analyzer: Literal["word", "char_wb"] = "word"
    ngrams: Annotated[int, Meta(ge=1, le=6)] = 2
    max_features: Annotated[int, Meta(ge=10, le=200_000)] = 20_000
    min_count: Annotated[int, Meta(ge=1, le=1000)] = 2
    svd: Annotated[int, Meta(ge=0, le=500)] = 0


class TextStatistics(Feature, frozen=True, tag="text_statistics"):
    """Adds length, words, mean word length, shares of capitals, digits and punctuation, exclamations of a text."""

    column: str


class DateParts(Feature, frozen=True, tag="date_parts"):
    """Adds year, month, day, weekday, day of year, hour (as far as they vary) of a time column."""

    column: str
    cyclic: bool = False


class Drop(Feature, frozen=True, tag="drop"):
    """Leaves columns out (drifting, useless or leaking ones)."""

    columns: Annotated[Columns, Meta(min_length=1, max_length=500)]


AnyFeature = (
    Ratio
    | Product
    | Difference
    | Sum
    | Ordinal
    | Quality
    | TargetEncoding
    | CountEncoding
    | GroupStatistics
    | Neighbours
    | MissingIndicators
    | Cross
    | Categorise
    | Tfidf
    | TextStatistics
    | DateParts
    | Drop
)


class Encoding(Closed, frozen=True):
    """How columns become a matrix.

    `categories`: `native` (LightGBM's own handling; boosters only), `codes` (integers in order of training frequency),
    `target` (cross-fitted smoothed mean target, which replaces the category), `onehot` (levels rarer than `rare` are
    merged). `numbers`: `raw` (missing stays; trees only), `standard` (median imputation, standardised), `quantile`
    (to a normal distribution). For the last two `log_skew` > 0 takes log1p of non-negative columns whose training skew
    exceeds it, and `winsor` clips each column to that quantile and its mirror. `pca` > 0 appends that many
    components, or with `pca_only` keeps nothing else. `top` > 0 keeps the columns with the most gain in a quick booster
    that is fitted in the training folds.
    """

    categories: Literal["native", "codes", "target", "onehot"] = "native"
    numbers: Literal["raw", "standard", "quantile"] = "raw"
    rare: Annotated[int, Meta(ge=1, le=1000)] = 5
    log_skew: Annotated[float, Meta(ge=0.0, le=100.0)] = 0.0
    winsor: Annotated[float, Meta(ge=0.0, le=0.2)] = 0.0
    pca: Annotated[int, Meta(ge=0, le=500)] = 0
    pca_only: bool = False
    top: Annotated[int, Meta(ge=0, le=5000)] = 0


TREE_ENCODING = Encoding(categories="codes", numbers="raw")
KERNEL_ENCODING = Encoding(categories="onehot", numbers="standard", log_skew=3.0)
MATRIX_ENCODING = Encoding(categories="onehot", numbers="standard", log_skew=0.75, winsor=0.005)
NETWORK_ENCODING = Encoding(categories="onehot", numbers="quantile")
EMBEDDED_ENCODING = Encoding(categories="codes", numbers="quantile")


def derived_name(step: Ratio | Product | Difference | Cross) -> str:
    """Return the name of the column that a step adds."""
    match step:
        case Ratio(a=a, b=b):
            return f"{a}_per_{b}"
        case Product(a=a, b=b):
            return f"{a}_times_{b}"
        case Difference(a=a, b=b):
            return f"{a}_minus_{b}"
        case Cross(columns=columns):
            return "_x_".join(columns)
