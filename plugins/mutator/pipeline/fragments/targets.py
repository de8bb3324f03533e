"""Transforms of a regression's target: forward on the training folds, backward on predictions."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from sklearn.preprocessing import PowerTransformer, QuantileTransformer

Inverse = Callable[[np.ndarray], np.ndarray]


def plain_target(y: np.ndarray) -> tuple[np.ndarray, Inverse]:
    """The target as it is."""
    return y, lambda z: z


def log1p_target(y: np.ndarray) -> tuple[np.ndarray, Inverse]:
    """log(1 + y), shifted if there are negative values."""
    shift = min(0.0, float(y.min()))
    return np.log1p(y - shift), lambda z: np.expm1(z) + shift


def yeo_johnson_target(y: np.ndarray) -> tuple[np.ndarray, Inverse]:
    """Power transform to a normal shape."""
    model = PowerTransformer().fit(y[:, None])
    return model.transform(y[:, None])[:, 0], lambda z: model.inverse_transform(z[:, None])[:, 0]


def quantile_normal_target(y: np.ndarray) -> tuple[np.ndarray, Inverse]:
    """Ranks mapped to a normal distribution."""
    model = QuantileTransformer(n_quantiles=min(1000, len(y)), output_distribution="normal", random_state=0)
    z = np.clip(model.fit_transform(y[:, None])[:, 0], -3.5, 3.5)
    return z, lambda p: model.inverse_transform(p[:, None])[:, 0]
