"""The families of models with their hyper-parameters, and what each family can do.

`class_weight` balances classes; regressions ignore it.
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from gome.events.pipeline.bounds import Closed, NonNegative, Positive, Share


class Model(Closed, frozen=True, tag_field="family"):
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
