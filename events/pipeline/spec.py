"""A whole pipeline: its members and their blend, read from JSON, brought to one normal form, written, and keyed.

Parts that do not fit each other are refused while normalising; whether a pipeline suits a task is `check.py`.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from gome.events.pipeline.bounds import Closed, Share
from gome.events.pipeline.features import (
    EMBEDDED_ENCODING,
    KERNEL_ENCODING,
    MATRIX_ENCODING,
    NETWORK_ENCODING,
    TREE_ENCODING,
    AnyFeature,
    Encoding,
    Sum,
    Tfidf,
)
from gome.events.pipeline.models import (
    CODED_CATEGORIES,
    DENSE_ONLY,
    MISSING_ALLOWED,
    NATIVE_CATEGORIES,
    WITHOUT_CHANCE,
    AnyModel,
    Booster,
    Network,
)

VOCABULARY = 1
"""Counts incompatible changes of meaning; part of every key."""

Fault = Literal["none", "crash", "noise"]
TargetTransform = Literal["none", "log1p", "yeo_johnson", "quantile_normal"]


class Member(Closed, frozen=True):
    """One model with everything in front of it.

    `encoding` None means the family's own (`default_encoding`). `target` transforms the target of a regression before
    fitting, predictions are transformed back. `bag` averages that many model seeds per fold. `temperature` rescales
    the class probabilities by one number, cross-fitted over the folds. `fault` is one that the program is to have, for
    experiments with reasoners that are weak on purpose: `crash` breaks the fit, `noise` deals a quarter of the training
    targets anew. The program says so.
    """

    model: AnyModel = Booster()
    features: Annotated[tuple[AnyFeature, ...], Meta(max_length=60)] = ()
    encoding: Encoding | None = None
    target: TargetTransform = "none"
    bag: Annotated[int, Meta(ge=1, le=20)] = 1
    temperature: bool = False
    fault: Fault = "none"


class Blend(Closed, frozen=True):
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


class Pipeline(Closed, frozen=True):
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


# msgspec learns a struct's fields when it meets it first, and two threads that do so at once crash (0.22); several runs
# in one process propose at once. Here it happens under the lock of the import.
msgspec.json.Decoder(Pipeline)


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
    spec: dict[str, Any] = lean(pipeline)
    return spec


def lean(value: Any) -> Any:
    """Return a part of a pipeline as plain JSON values, without those that equal their default."""
    # msgspec's own omit_defaults compares by identity, and a decoded 0.0 is not the 0.0 of the class.
    if isinstance(value, tuple):
        return [lean(item) for item in value]
    if not isinstance(value, Struct):
        return value
    names, defaults = value.__struct_fields__, value.__struct_defaults__
    usual = dict(zip(names[len(names) - len(defaults) :], defaults, strict=True))
    config = value.__struct_config__
    found = {str(config.tag_field): config.tag} if config.tag_field else {}
    for name in names:
        here = getattr(value, name)
        if name in ("model", "members") or name not in usual or here != usual[name]:
            found[name] = lean(here)
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


@lru_cache(maxsize=4096)
def _digest(value: Struct) -> str:
    text = f"{VOCABULARY}\x1f".encode() + msgspec.json.encode(lean(value), order="sorted")
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
