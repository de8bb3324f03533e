"""The closed vocabulary in which a tabular pipeline is said: members (features, encoding, target, model), then a blend.

What lives here: the frozen structs, their bounds, content keys, and `apply_change`, which turns a parent's
specification and a hypothesis' change into a new one or a readable `ValueError`. Reasoners speak it, mutators render
it, selection re-seeds what was rendered (`with_seeds`). What does not live here: how anything is fitted (the fragments
of the pipeline mutator) and which change is a good idea (reasoners).

As JSON a pipeline looks like this; every field has a default, tags are `op` for features and `family` for models:

    {"members": [{"model": {"family": "booster", "leaves": 8}, "target": "log1p",
                  "features": [{"op": "ratio", "a": "living", "b": "lot"}, {"op": "target_encoding"}]},
                 {"model": {"family": "ridge"}, "target": "log1p"}],
     "blend": {"kind": "weights"}}

A *change* is either `{"pipeline": {…whole…}}` or any of these keys, carried out in this order:

    "edit":    one edit or a list. {"member": which, "set": {partial member}, "add_features": [ops],
               "drop_features": [op names]}; which = index, "all" (default) or a family's name (all its members). A
               partial model without `family`, or with the same one, keeps the other hyper-parameters; another family
               starts from its defaults (and its default encoding). A partial encoding keeps the other fields too.
    "remove":  list of member indices (as numbered in the parent)
    "members": a whole list of members, instead of the parent's
    "add":     list of members to append
    "blend":   partial blend; without it a pipeline that grows to several members is blended by "weights"
"""

from __future__ import annotations

import difflib
import hashlib
import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from gome.events.task import Task

VOCABULARY = 1
"""Counts incompatible changes of meaning; part of every key."""

Share = Annotated[float, Meta(ge=0.0, le=1.0)]
Positive = Annotated[float, Meta(gt=0.0, le=1e6)]
NonNegative = Annotated[float, Meta(ge=0.0, le=1e6)]
Columns = tuple[str, ...]


class _Closed(Struct, frozen=True, forbid_unknown_fields=True):
    """Base of the vocabulary: unknown fields are errors; see `to_spec` for how it is written."""


# Feature operations. Those that look at the target are fitted inside the training folds only, and cross-fitted there.


class Feature(_Closed, frozen=True, tag_field="op"):
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


class Encoding(_Closed, frozen=True):
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


# Model families. "class weight" balances classes; it is ignored by regressions.


class Model(_Closed, frozen=True, tag_field="family"):
    """A family of models with its hyper-parameters; works for every kind of task unless it says otherwise."""


class Booster(Model, frozen=True, tag="booster"):
    """LightGBM. The number of rounds comes from early stopping (`patience`) on an inner split of the training folds
    (share `inner`) up to the cap `rounds`; with `refit` the model is then fitted on all training folds with that many.
    `inner` = 0 means exactly `rounds`. `objective` auto is l2 for regression and log loss for classes."""

    objective: Literal["auto", "l2", "l1", "huber", "fair", "poisson", "gamma", "tweedie"] = "auto"
    learning_rate: Annotated[float, Meta(ge=0.002, le=0.5)] = 0.04
    leaves: Annotated[int, Meta(ge=2, le=1024)] = 10
    max_depth: Annotated[int, Meta(ge=-1, le=64)] = -1
    min_child: Annotated[int, Meta(ge=1, le=5000)] = 10
    colsample: Annotated[float, Meta(gt=0.0, le=1.0)] = 0.3
    subsample: Annotated[float, Meta(gt=0.0, le=1.0)] = 0.7
    l1: NonNegative = 0.0
    l2: NonNegative = 1.0
    rounds: Annotated[int, Meta(ge=1, le=20_000)] = 2000
    patience: Annotated[int, Meta(ge=5, le=1000)] = 60
    inner: Annotated[float, Meta(ge=0.0, le=0.5)] = 0.15
    refit: bool = True
    extra_trees: bool = False
    linear_leaves: bool = False
    max_bin: Annotated[int, Meta(ge=15, le=1023)] = 255
    tweedie_power: Annotated[float, Meta(ge=1.0, lt=2.0)] = 1.5
    class_weight: Literal["none", "balanced"] = "none"


class HistBooster(Model, frozen=True, tag="hist_booster"):
    """scikit-learn's histogram gradient boosting, early stopping on an inner split; a decorrelated second booster."""

    learning_rate: Annotated[float, Meta(ge=0.002, le=0.5)] = 0.04
    leaves: Annotated[int, Meta(ge=2, le=1024)] = 12
    min_child: Annotated[int, Meta(ge=1, le=5000)] = 10
    max_features: Annotated[float, Meta(gt=0.0, le=1.0)] = 0.3
    l2: NonNegative = 1.0
    rounds: Annotated[int, Meta(ge=1, le=5000)] = 600
    patience: Annotated[int, Meta(ge=5, le=500)] = 30
    loss: Literal["auto", "absolute_error", "poisson", "gamma"] = "auto"
    class_weight: Literal["none", "balanced"] = "none"


class Trees(Model, frozen=True, tag="trees"):
    """Random forest or, with `extra`, extremely randomised trees."""

    extra: bool = True
    trees: Annotated[int, Meta(ge=5, le=2000)] = 300
    min_leaf: Annotated[int, Meta(ge=1, le=1000)] = 2
    max_features: Annotated[float, Meta(gt=0.0, le=1.0)] = 0.35
    class_weight: Literal["none", "balanced"] = "none"


class Ridge(Model, frozen=True, tag="ridge"):
    """Ridge regression; for classes logistic regression with an L2 penalty. `alpha` = 0 chooses the strength among
    powers of ten on the training folds. Predictions are clipped to the training range of the (transformed) target."""

    alpha: NonNegative = 0.0
    class_weight: Literal["none", "balanced"] = "none"


class ElasticNet(Model, frozen=True, tag="elastic_net"):
    """Elastic net; for classes logistic regression with both penalties. `alpha` = 0 is chosen on the training folds."""

    alpha: NonNegative = 0.0
    l1_ratio: Share = 0.5
    class_weight: Literal["none", "balanced"] = "none"


class Huber(Model, frozen=True, tag="huber"):
    """Robust linear regression (regression only)."""

    epsilon: Annotated[float, Meta(ge=1.01, le=10.0)] = 1.35
    alpha: Positive = 10.0


class Svm(Model, frozen=True, tag="svm"):
    """Support vector machine. Regression: `epsilon` in units of the standardised target. Classes: probabilities from a
    logistic calibration of inner cross-fitted decisions. `gamma` 0 is 1 / (columns × variance) times `gamma_scale`."""

    kernel: Literal["rbf", "linear", "poly"] = "rbf"
    c: Positive = 10.0
    epsilon: Annotated[float, Meta(ge=0.0, le=2.0)] = 0.08
    gamma: NonNegative = 0.0
    gamma_scale: Positive = 0.15
    class_weight: Literal["none", "balanced"] = "none"


class KernelRidge(Model, frozen=True, tag="kernel_ridge"):
    """Kernel ridge regression; for classes the one-vs-rest least-squares form with calibrated decisions."""

    kernel: Literal["rbf", "laplacian", "poly"] = "rbf"
    alpha: Positive = 0.1
    gamma: NonNegative = 0.0
    gamma_scale: Positive = 0.15


class GaussianProcess(Model, frozen=True, tag="gaussian_process"):
    """Gaussian process with an RBF or Matérn kernel and noise; hyper-parameters are optimised on at most `subset` rows,
    prediction uses at most `rows` (cubic cost)."""

    kernel: Literal["rbf", "matern"] = "rbf"
    subset: Annotated[int, Meta(ge=50, le=2000)] = 400
    rows: Annotated[int, Meta(ge=50, le=8000)] = 4000


class Knn(Model, frozen=True, tag="knn"):
    """k nearest neighbours, weighted by distance."""

    k: Annotated[int, Meta(ge=1, le=500)] = 12
    metric: Literal["euclidean", "manhattan", "cosine"] = "euclidean"


class Discriminant(Model, frozen=True, tag="discriminant"):
    """Linear (shrunk covariance) or quadratic discriminant analysis; classes only. `shrinkage` 0 is Ledoit-Wolf for
    the linear form and none for the quadratic one."""

    form: Literal["linear", "quadratic"] = "linear"
    shrinkage: Share = 0.0


class NaiveBayes(Model, frozen=True, tag="naive_bayes"):
    """Multinomial (complement) naive Bayes on non-negative columns, made for TF-IDF; classes only."""

    alpha: Positive = 0.3


class Mlp(Model, frozen=True, tag="mlp"):
    """scikit-learn's multi-layer perceptron, mean of `bag` seeds, early stopping on an inner split."""

    hidden: Annotated[tuple[Annotated[int, Meta(ge=2, le=1024)], ...], Meta(min_length=1, max_length=4)] = (64, 32)
    alpha: NonNegative = 1.0
    learning_rate: Annotated[float, Meta(ge=1e-5, le=0.5)] = 2e-3
    epochs: Annotated[int, Meta(ge=1, le=2000)] = 150
    batch: Annotated[int, Meta(ge=8, le=8192)] = 64


class Network(Model, frozen=True, tag="network"):
    """Torch network: embeddings of categories beside scaled numbers, batch norm and dropout, AdamW with one cycle; it
    uses a GPU if there is one. Only where torch can be imported (`needs_torch`)."""

    hidden: Annotated[tuple[Annotated[int, Meta(ge=2, le=2048)], ...], Meta(min_length=1, max_length=4)] = (256, 128)
    dropout: Annotated[float, Meta(ge=0.0, le=0.9)] = 0.15
    learning_rate: Annotated[float, Meta(ge=1e-5, le=0.5)] = 3e-3
    weight_decay: NonNegative = 1e-2
    epochs: Annotated[int, Meta(ge=1, le=500)] = 40
    batch: Annotated[int, Meta(ge=8, le=65_536)] = 128


AnyModel = (
    Booster
    | HistBooster
    | Trees
    | Ridge
    | ElasticNet
    | Huber
    | Svm
    | KernelRidge
    | GaussianProcess
    | Knn
    | Discriminant
    | NaiveBayes
    | Mlp
    | Network
)

FAMILIES: tuple[str, ...] = (
    "booster",
    "hist_booster",
    "trees",
    "ridge",
    "elastic_net",
    "huber",
    "svm",
    "kernel_ridge",
    "gaussian_process",
    "knn",
    "discriminant",
    "naive_bayes",
    "mlp",
    "network",
)
"""All families by their tag."""

REGRESSION_ONLY = frozenset({"huber"})
CLASSES_ONLY = frozenset({"discriminant", "naive_bayes"})
NATIVE_CATEGORIES = frozenset({"booster"})
CODED_CATEGORIES = frozenset({"booster", "hist_booster", "trees", "network"})
WITHOUT_CHANCE = frozenset(
    {"ridge", "huber", "svm", "kernel_ridge", "knn", "discriminant", "naive_bayes"},
)
"""Families whose fit does not depend on a seed, so that bagging is without effect."""
MISSING_ALLOWED = frozenset({"booster", "hist_booster"})
DENSE_ONLY = frozenset({"hist_booster", "gaussian_process", "discriminant", "network", "trees", "kernel_ridge"})

TargetTransform = Literal["none", "log1p", "yeo_johnson", "quantile_normal"]


class Member(_Closed, frozen=True):
    """One model with everything in front of it.

    `encoding` None means the family's own (`default_encoding`). `target` transforms the target of a regression before
    fitting, predictions are transformed back. `bag` averages that many model seeds per fold. `temperature` rescales
    the class probabilities by one number, cross-fitted over the folds.
    """

    model: AnyModel = Booster()
    features: Annotated[tuple[AnyFeature, ...], Meta(max_length=60)] = ()
    encoding: Encoding | None = None
    target: TargetTransform = "none"
    bag: Annotated[int, Meta(ge=1, le=20)] = 1
    temperature: bool = False


class Blend(_Closed, frozen=True):
    """How members' out-of-fold predictions become one.

    `single`: the only member. `mean`: equal weights. `weights`: non-negative weights that sum to one, least squares
    for regression and log loss for classes. `greedy`: forward selection with replacement on the metric itself.
    `rank`: mean of ranks (AUC only). `stack`: ridge or multinomial logistic regression of the members' predictions.
    All fitted weights are cross-fitted per fold, and `shrink` pulls them towards equal ones. `space` is the scale
    on which predictions are averaged: auto = log1p for rmsle, plain otherwise; `logit` for probabilities.
    """

    kind: Literal["single", "mean", "weights", "greedy", "rank", "stack"] = "single"
    space: Literal["auto", "plain", "log1p", "logit"] = "auto"
    shrink: Share = 0.0


class Pipeline(_Closed, frozen=True):
    """Members and their blend."""

    members: Annotated[tuple[Member, ...], Meta(min_length=1, max_length=24)] = (Member(),)
    blend: Blend = Blend()


def family(member: Member) -> str:
    """Return the tag of a member's model, for example `booster`."""
    tag: str = type(member.model).__struct_config__.tag  # type: ignore[assignment]
    return tag


def default_encoding(name: str) -> Encoding:
    """Return the encoding that a family takes when a member names none."""
    if name in ("booster", "trees", "hist_booster"):
        return TREE_ENCODING
    if name in ("svm", "kernel_ridge", "gaussian_process"):
        return KERNEL_ENCODING
    if name == "network":
        return EMBEDDED_ENCODING
    return NETWORK_ENCODING if name == "mlp" else MATRIX_ENCODING


def read_pipeline(spec: dict[str, Any]) -> Pipeline:
    """Read a specification (as in `CodeWritten.spec`) into structs and normalise it; ValueError says what is wrong."""
    try:
        found = msgspec.convert(spec, Pipeline)
    except msgspec.ValidationError as err:
        raise ValueError(f"outside the pipeline vocabulary: {err}") from None
    return normalise(found)


def to_spec(pipeline: Pipeline) -> dict[str, Any]:
    """Return a pipeline as plain JSON values, what `CodeWritten.spec` holds. Values that equal their default are left
    out, so that keys survive when the vocabulary gains a field."""
    spec: dict[str, Any] = _lean(pipeline)
    return spec


def _lean(value: Any) -> Any:
    # msgspec's own omit_defaults compares by identity, and a decoded 0.0 is not the 0.0 of the class.
    if isinstance(value, tuple):
        return [_lean(item) for item in value]
    if not isinstance(value, Struct):
        return value
    names, defaults = value.__struct_fields__, value.__struct_defaults__
    usual = dict(zip(names[len(names) - len(defaults) :], defaults, strict=True))
    config = value.__struct_config__
    found = {str(config.tag_field): config.tag} if config.tag_field else {}
    for name in names:
        here = getattr(value, name)
        if name in ("model", "members") or name not in usual or here != usual[name]:
            found[name] = _lean(here)
    return found


def normalise(pipeline: Pipeline) -> Pipeline:
    """Return the pipeline in its one canonical form, so that equal meanings have equal keys; ValueError if the parts
    do not fit each other.

    Encodings are filled in, repeated feature steps and members are dropped, one member is always `single`.
    """
    members: list[Member] = []
    for raw in pipeline.members:
        member = _fitting(raw)
        if member not in members:
            members.append(member)
    blend = pipeline.blend
    if len(members) == 1:
        blend = Blend()
    elif blend.kind == "single":
        blend = Blend(kind="weights")
    if blend.kind not in ("weights", "greedy") and blend.shrink:
        blend = msgspec.structs.replace(blend, shrink=0.0)
    return Pipeline(members=tuple(members), blend=blend)


def _fitting(member: Member) -> Member:
    name = family(member)
    encoding = member.encoding or default_encoding(name)
    if encoding.categories == "native" and name not in NATIVE_CATEGORIES:
        raise ValueError(f"family {name!r} has no native categories; use codes, target or onehot")
    if encoding.categories == "codes" and name not in CODED_CATEGORIES:
        raise ValueError(f"family {name!r} would read codes as sizes; use onehot or target")
    if encoding.numbers == "raw" and name not in (*MISSING_ALLOWED, "trees", "naive_bayes"):
        raise ValueError(f"family {name!r} needs scaled numbers without gaps; use standard or quantile")
    if encoding.pca_only and not encoding.pca:
        raise ValueError("pca_only without pca: say how many components to keep")
    if encoding.pca and encoding.numbers == "raw":
        raise ValueError("pca needs scaled numbers; use standard or quantile")
    if encoding.pca and encoding.categories == "native":
        raise ValueError("pca works on numbers; use categories codes, target or onehot with it")
    features: list[AnyFeature] = []
    for step in member.features:
        if step not in features:
            features.append(step)
    for step in features:
        if isinstance(step, Sum) and step.weights and len(step.weights) != len(step.columns):
            raise ValueError(f"sum {step.name!r}: {len(step.columns)} columns but {len(step.weights)} weights")
        if isinstance(step, Tfidf) and not step.svd and name in DENSE_ONLY:
            raise ValueError(f"family {name!r} takes no sparse terms; give tfidf of {step.column!r} an svd > 0")
        if isinstance(step, Tfidf) and not step.svd and (encoding.pca or encoding.top):
            raise ValueError(f"pca and top need dense columns; give tfidf of {step.column!r} an svd > 0")
    bag = 1 if name in WITHOUT_CHANCE else member.bag
    return msgspec.structs.replace(member, encoding=encoding, features=tuple(features), bag=bag)


def check_task(pipeline: Pipeline, task: Task) -> None:
    """Raise a ValueError, naming the member and the column, if a pipeline does not suit a task's kind or columns."""
    known = {c.name: c.kind for c in task.columns}
    for number, member in enumerate(pipeline.members):
        where, name = f"member {number} ({family(member)})", family(member)
        if task.kind == "regression" and name in CLASSES_ONLY:
            raise ValueError(f"{where}: this family is for classes only, the task is a regression")
        if task.kind != "regression" and name in REGRESSION_ONLY:
            raise ValueError(f"{where}: this family is for regression only, the task has classes")
        if task.kind != "regression" and member.target != "none":
            raise ValueError(f"{where}: target transform {member.target!r} is for regression only")
        if task.kind != "regression" and isinstance(member.model, Booster) and member.model.objective != "auto":
            raise ValueError(f"{where}: objective {member.model.objective!r} is for regression only")
        if task.kind != "regression" and isinstance(member.model, HistBooster) and member.model.loss != "auto":
            raise ValueError(f"{where}: loss {member.model.loss!r} is for regression only")
        if task.kind == "regression" and member.temperature:
            raise ValueError(f"{where}: temperature scaling is for classes only")
        _check_columns(member, dict(known), where)
    if pipeline.blend.kind == "rank" and task.metric.name != "roc_auc":
        raise ValueError(f"blend 'rank' keeps only the order; the metric {task.metric.name} needs values")
    if pipeline.blend.space == "logit" and task.kind == "regression":
        raise ValueError("blend space 'logit' is for probabilities, the task is a regression")
    if pipeline.blend.space == "log1p" and task.kind != "regression":
        raise ValueError("blend space 'log1p' is for regression, the task has classes")


def _check_columns(member: Member, known: dict[str, str], where: str) -> None:
    """Walk the steps as the program will, keeping the kinds of the columns that exist so far."""

    def need(column: str, *kinds: str) -> None:
        if column not in known:
            close = difflib.get_close_matches(column, known, n=3, cutoff=0.5)
            hint = f"; did you mean {' or '.join(close)}?" if close else f"; there are {', '.join(list(known)[:12])} …"
            raise ValueError(f"{where}: {op} names a column that is not there: {column!r}{hint}")
        if kinds and known[column] not in kinds:
            raise ValueError(f"{where}: column {column!r} is {known[column]}, but {op} needs {' or '.join(kinds)}")

    for step in member.features:
        op = str(type(step).__struct_config__.tag)
        match step:
            case Ratio(a=a, b=b) | Product(a=a, b=b) | Difference(a=a, b=b):
                need(a, "numeric", "time")
                need(b, "numeric", "time")
                known[derived_name(step)] = "numeric"
            case Sum(columns=columns, name=name):
                for column in columns:
                    need(column, "numeric")
                known[name] = "numeric"
            case Ordinal(column=column):
                need(column, "category", "numeric")
                known[f"{column}_rank"] = "numeric"
            case Quality(columns=columns) | CountEncoding(columns=columns) | TargetEncoding(columns=columns):
                for column in columns:
                    need(column, "category", "numeric")
            case GroupStatistics(by=by, columns=columns):
                need(by, "category", "numeric")
                for column in columns:
                    need(column, "numeric")
            case Neighbours(columns=columns):
                for column in columns:
                    need(column, "numeric", "time")
            case MissingIndicators(columns=columns):
                for column in columns:
                    need(column)
            case Cross(columns=columns):
                for column in columns:
                    need(column, "category", "numeric")
                known[derived_name(step)] = "category"
            case Categorise(columns=columns):
                for column in columns:
                    need(column, "numeric", "category")
                    known[column] = "category"
            case Tfidf(column=column) | TextStatistics(column=column):
                need(column, "text", "category")
            case DateParts(column=column):
                need(column, "time")
            case Drop(columns=columns):
                for column in columns:
                    need(column)
                    del known[column]


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


@lru_cache(maxsize=4096)
def _digest(value: Struct) -> str:
    text = f"{VOCABULARY}\x1f".encode() + msgspec.json.encode(_lean(value), order="sorted")
    return hashlib.sha256(text).hexdigest()[:16]


def pipeline_key(pipeline: Pipeline) -> str:
    """Return the content key of a pipeline: 16 hex digits over the canonical JSON of its normal form."""
    return _digest(normalise(pipeline))


def member_key(member: Member) -> str:
    """Return the content key of a member: 16 hex digits; names its cached predictions under `members/<key>/`."""
    return _digest(_fitting(member))


def needs_torch(pipeline: Pipeline) -> bool:
    """Say whether the rendered program imports torch."""
    return any(isinstance(m.model, Network) for m in pipeline.members)


_CHANGES = ("edit", "remove", "members", "add", "blend")
_EDITS = ("member", "set", "add_features", "drop_features")


def apply_change(parent: dict[str, Any], change: dict[str, Any]) -> Pipeline:
    """Return the normal form of a parent's specification (empty: none) after a change (see the module's docstring).

    ValueError, readable, for anything outside the vocabulary and for a change that changes nothing.
    """
    if not isinstance(change, dict) or not change:
        raise ValueError("the change is empty: give {'pipeline': …} or some of " + ", ".join(_CHANGES))
    if "pipeline" in change:
        if len(change) > 1:
            raise ValueError("a whole 'pipeline' stands alone; drop " + ", ".join(sorted(set(change) - {"pipeline"})))
        if not isinstance(change["pipeline"], dict):
            raise ValueError("'pipeline' must be an object with 'members' and 'blend'")
        return read_pipeline(change["pipeline"])
    if unknown := sorted(set(change) - set(_CHANGES)):
        raise ValueError(f"unknown change {', '.join(unknown)}; a change may have {', '.join(_CHANGES)} or 'pipeline'")
    if not parent and "members" not in change and "add" not in change:
        raise ValueError("there is no parent pipeline to change; give a whole 'pipeline'")
    before = read_pipeline(parent) if parent else None
    base: dict[str, Any] = to_spec(before) if before else {"members": []}
    members = [_plain(m, "a member") for m in base.get("members", [{}])]
    for edit in _list(change.get("edit", []), "edit"):
        _apply_edit(members, edit)
    gone = set()
    for index in _list(change.get("remove", []), "remove"):
        gone.add(_index(index, len(members)))
    members = [m for i, m in enumerate(members) if i not in gone]
    if "members" in change:
        members = _list(change["members"], "members")
    members += _list(change.get("add", []), "add")
    if not members:
        raise ValueError("no member is left: a pipeline needs at least one")
    blend = {**base.get("blend", {}), **_plain(change.get("blend", {}), "blend")}
    after = read_pipeline({"members": members, "blend": blend})
    if after == before:
        raise ValueError("the change changes nothing: the pipeline is already like that")
    return after


def _apply_edit(members: list[dict[str, Any]], edit: Any) -> None:
    edit = _plain(edit, "edit")
    if unknown := sorted(set(edit) - set(_EDITS)):
        raise ValueError(f"unknown part of an edit: {', '.join(unknown)}; it may have {', '.join(_EDITS)}")
    which = edit.get("member", "all")
    chosen = _chosen(members, which)
    for index in chosen:
        member = dict(members[index])
        before = member["model"]["family"]
        wanted = _plain(edit.get("set", {}), "set")
        encoding = wanted.pop("encoding", {})
        for name, value in wanted.items():
            old = member.get(name)
            if name == "model":
                value = _plain(value, "model")
                current = (old or {}).get("family", "booster")
                if value.get("family", current) == current:
                    value = {"family": current, **(old or {}), **value}
                member[name] = value
            else:
                member[name] = value
        after = str(member.get("model", {}).get("family", "booster"))
        if after != before and after in FAMILIES:
            member["encoding"] = _lean(default_encoding(after))
        if encoding is not None:
            member["encoding"] = {**member["encoding"], **_plain(encoding, "encoding")}
        steps = list(member.get("features", []))
        unwanted = set(_list(edit.get("drop_features", []), "drop_features"))
        steps = [s for s in steps if s.get("op") not in unwanted]
        steps += _list(edit.get("add_features", []), "add_features")
        member["features"] = steps
        members[index] = member


def _chosen(members: Sequence[dict[str, Any]], which: Any) -> list[int]:
    if which == "all":
        return list(range(len(members)))
    if isinstance(which, str):
        found = [i for i, m in enumerate(members) if m.get("model", {}).get("family", "booster") == which]
        if not found:
            raise ValueError(f"no member of family {which!r} to edit")
        return found
    return [_index(which, len(members))]


def _index(value: Any, count: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not -count <= value < count:
        raise ValueError(f"no member {value!r}: the pipeline has {count}, numbered from 0")
    return value % count


def _plain(value: Any, what: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"{what} must be an object, not {type(value).__name__}")
    return dict(value)


def _list(value: Any, what: str) -> list[Any]:
    if isinstance(value, dict):
        return [value]
    if not isinstance(value, (list, tuple)):
        raise ValueError(f"{what} must be a list, not {type(value).__name__}")
    return list(value)


def with_seeds(program: str, seeds: Sequence[int], partitions: Sequence[int]) -> str:
    """Return a rendered program's text with other `SEEDS` and `PARTITIONS`: it runs the pairs in order and averages.

    ValueError if the text has no such lines (then it was not rendered by the pipeline mutator) or the lists differ in
    length. The environment's GOME_SEED and GOME_PARTITION override only one-element lists, so a program with several
    pairs always does the same.
    """
    if len(seeds) != len(partitions) or not seeds:
        raise ValueError(f"{len(seeds)} seeds and {len(partitions)} partitions do not pair up")
    text = program
    for name, values in (("SEEDS", seeds), ("PARTITIONS", partitions)):
        line = f"{name} = {[int(v) for v in values]}"
        text, count = re.subn(rf"(?m)^{name} = \[[0-9, ]*\]", line, text, count=1)
        if not count:
            raise ValueError(f"the program has no line '{name} = […]': it was not rendered by the pipeline mutator")
    return text
