"""The metrics that a task may name: direction, which targets they fit, what they ask of predictions. No arithmetic.

A task source refuses an unknown metric with this table before a run starts, selection reads whether predictions may be
averaged, and the scorer, which alone computes metrics (with numpy), promises to know every name here.
"""

from __future__ import annotations

import difflib

from msgspec import Struct

from gome.events.task import Metric, TaskKind

_REGRESSION: tuple[TaskKind, ...] = ("regression",)
_BINARY: tuple[TaskKind, ...] = ("binary",)
_CLASSES: tuple[TaskKind, ...] = ("binary", "multiclass")


class MetricFacts(Struct, frozen=True):
    """What is known of a metric without computing it.

    `kinds` are the targets it fits. `probabilities` says that the size of a predicted probability counts, not only the
    class it points to; `decomposes` that the value is a function of means over rows (so that row losses explain it;
    ranks do not). `averaging` says whether the mean of several runs' predictions is a sensible prediction under it.
    `minimum` is the smallest value that targets and predictions may have (None: any).
    """

    name: str
    greater_is_better: bool
    kinds: tuple[TaskKind, ...]
    probabilities: bool = False
    decomposes: bool = True
    averaging: bool = True
    minimum: float | None = None

    @property
    def metric(self) -> Metric:
        """The value that a task carries."""
        return Metric(self.name, self.greater_is_better)


METRICS: dict[str, MetricFacts] = {
    facts.name: facts
    for facts in (
        MetricFacts("rmse", False, _REGRESSION),
        MetricFacts("rmsle", False, _REGRESSION, minimum=0.0),
        MetricFacts("mae", False, _REGRESSION),
        MetricFacts("mape", False, _REGRESSION),
        MetricFacts("r2", True, _REGRESSION),
        # Cut-offs between grades sit in the tails of the predictions, which averaging pulls to the middle.
        MetricFacts("quadratic_kappa", True, ("regression", "multiclass"), averaging=False),
        MetricFacts("roc_auc", True, _BINARY, probabilities=True, decomposes=False),
        MetricFacts("average_precision", True, _BINARY, probabilities=True, decomposes=False),
        MetricFacts("log_loss", False, _CLASSES, probabilities=True),
        MetricFacts("accuracy", True, _CLASSES),
        MetricFacts("balanced_accuracy", True, _CLASSES),
        MetricFacts("f1", True, _BINARY),
        MetricFacts("f1_macro", True, _CLASSES),
    )
}
"""Every metric by name. Classes are taken at probability 0.5 (binary) or the largest probability (multiclass)."""

DEFAULT_METRICS: dict[TaskKind, str] = {"regression": "rmse", "binary": "roc_auc", "multiclass": "log_loss"}
"""The metric of a task whose author names none."""

ALIASES: dict[str, str] = {
    "auc": "roc_auc",
    "ap": "average_precision",
    "logloss": "log_loss",
    "acc": "accuracy",
    "r_squared": "r2",
    "macro_f1": "f1_macro",
    "qwk": "quadratic_kappa",
    "cohen_kappa_quadratic": "quadratic_kappa",
}
"""Other spellings that people use."""


def metric_name(text: str) -> str:
    """Return the canonical name of a spelling ("RMSLE", "log-loss", "auc"). ValueError names the nearest known one."""
    plain = text.strip().lower().replace("-", "_").replace(" ", "_")
    plain = ALIASES.get(plain, plain)
    if plain not in METRICS:
        near = difflib.get_close_matches(plain, METRICS, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]}?" if near else "known are " + ", ".join(METRICS)
        raise ValueError(f"there is no metric {text!r}; {hint}")
    return plain


def metrics_for(kind: TaskKind) -> tuple[str, ...]:
    """Names of the metrics that fit a kind of target."""
    return tuple(name for name, facts in METRICS.items() if kind in facts.kinds)
