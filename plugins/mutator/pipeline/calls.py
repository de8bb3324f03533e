"""Which function of the fragments carries out which word of the vocabulary, and with which options; pure tables."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec

from gome.events.pipeline import AnyFeature, Blend, Drop, Encoding, Member, Sum, TargetEncoding, family
from gome.events.pipeline import Neighbours as NeighboursStep
from gome.events.task import Task

Call = tuple[str, dict[str, Any]]

METRICS = {
    name: f"score_{name}" for name in ("rmsle", "rmse", "mae", "r2", "roc_auc", "log_loss", "accuracy", "f1_macro")
}
"""Metric names and the functions that compute them."""

_CLASS_FITS = {"ridge": "fit_logistic", "elastic_net": "fit_elastic_classes"}
_STEPS = {
    "count_encoding": "add_counts",
    "missing_indicators": "add_missing",
    "categorise": "make_categories",
    "drop": "drop_columns",
}
_NUMBERS = {"raw": "raw_numbers", "standard": "standard_numbers", "quantile": "quantile_numbers"}
_CATEGORIES = {
    "native": "category_codes",
    "codes": "category_codes",
    "target": "category_targets",
    "onehot": "category_onehot",
}
_TARGETS = {
    "none": "plain_target",
    "log1p": "log1p_target",
    "yeo_johnson": "yeo_johnson_target",
    "quantile_normal": "quantile_normal_target",
}


@dataclass(frozen=True)
class MemberCalls:
    """A member as calls: one of each in `single`, lists of them in `several`, the target transform's function."""

    single: dict[str, Call]
    several: dict[str, list[Call]]
    target: str


def metric_function(name: str) -> str:
    """Return the function that computes a metric; ValueError if programs cannot."""
    if name not in METRICS:
        raise ValueError(f"programs cannot compute the metric {name!r}; they know {', '.join(METRICS)}")
    return METRICS[name]


def _options(value: msgspec.Struct) -> dict[str, Any]:
    return {name: getattr(value, name) for name in value.__struct_fields__}


def member_calls(member: Member, task: Task) -> MemberCalls:
    """Return the calls that carry out a member (in normal form) for a task's kind."""
    name, encoding = family(member), member.encoding or Encoding()
    fit = f"fit_{name}" if task.kind == "regression" else _CLASS_FITS.get(name, f"fit_{name}")
    model = _options(member.model)
    if name == "booster":
        model["native"] = encoding.categories == "native"
        if model["objective"] == "auto":
            model["objective"] = {"regression": "l2"}.get(task.kind, task.kind)
    if name == "hist_booster" and model["loss"] == "auto":
        model["loss"] = "squared_error" if task.kind == "regression" else "log_loss"
    steps: list[Call] = []
    fitted: list[Call] = []
    dropped: list[Call] = []
    for step in member.features:
        call = _step_call(step)
        if isinstance(step, (TargetEncoding, NeighboursStep)):
            fitted.append(call)
        elif isinstance(step, Drop) and fitted:
            dropped.append(("drop_fitted_columns", call[1]))
        else:
            steps.append(call)
    reduce: list[Call] = []
    if encoding.pca:
        reduce.append(("add_components", {"components": encoding.pca, "only": encoding.pca_only}))
    if encoding.top:
        reduce.append(("keep_top", {"count": encoding.top}))
    return MemberCalls(
        single={
            "model": (fit, model),
            "categories": (_CATEGORIES[encoding.categories], {"rare": encoding.rare}),
            "numbers": (_NUMBERS[encoding.numbers], {"log_skew": encoding.log_skew, "winsor": encoding.winsor}),
        },
        several={"steps": steps, "fitted": fitted + dropped, "reduce": reduce},
        target=_TARGETS[member.target] if task.kind == "regression" else "plain_target",
    )


def _step_call(step: AnyFeature) -> Call:
    tag = str(type(step).__struct_config__.tag)
    options = _options(step)
    if isinstance(step, Sum) and not step.weights:
        del options["weights"]
    return _STEPS.get(tag, f"add_{tag}"), options


def blend_call(blend: Blend, task: Task) -> tuple[str, str, str, dict[str, Any]]:
    """Return a blend's function, the functions to its scale and back, and its options."""
    space = blend.space
    if space == "auto":
        space = "log1p" if task.metric.name == "rmsle" else "plain"
    kinds = {
        "single": "blend_single",
        "mean": "blend_mean",
        "greedy": "blend_greedy",
        "rank": "blend_ranks",
        "stack": "blend_stack",
        "weights": "blend_squares",
    }
    function = kinds[blend.kind]
    if blend.kind == "weights" and task.kind != "regression":
        function = "blend_logits" if space == "logit" else "blend_likelihood"
    if blend.kind in ("single", "rank") or (blend.kind == "stack" and task.kind != "regression"):
        space = "plain"
    options = {"shrink": blend.shrink} if blend.kind in ("weights", "greedy") else {}
    return function, f"to_{space}", f"from_{space}", options
