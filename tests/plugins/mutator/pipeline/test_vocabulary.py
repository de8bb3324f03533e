"""The pipeline vocabulary: what a change may say, what is refused and how, and when two pipelines have one key."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from gome.events import Artifact, Column, Metric, Task
from gome.events.pipeline import (
    FAMILIES,
    Pipeline,
    apply_change,
    check_task,
    default_encoding,
    family,
    member_key,
    needs_torch,
    normalise,
    pipeline_key,
    read_pipeline,
    to_spec,
    with_seeds,
)

PARENT: dict[str, Any] = {
    "members": [
        {"model": {"family": "booster", "leaves": 8}, "target": "log1p", "features": [{"op": "quality"}]},
        {"model": {"family": "ridge"}, "target": "log1p"},
    ],
    "blend": {"kind": "weights"},
}
NOTHING = Artifact(digest="sha256-0", size=0)


def task(kind: str = "regression", metric: str = "rmse") -> Task:
    """A task with one column of each kind."""
    columns = [Column(name=n, kind=k) for n, k in (("size", "numeric"), ("town", "category"), ("said", "text"))]
    return Task(
        name="toy",
        kind=kind,  # type: ignore[arg-type]
        metric=Metric(metric, False),
        target="y",
        id="id",
        columns=(*columns, Column(name="when", kind="time")),
        train=NOTHING,
        test=NOTHING,
        rows_train=100,
        rows_test=10,
        classes=() if kind == "regression" else ("a", "b"),
    )


def test_a_specification_survives_json_and_reading_again() -> None:
    pipeline = read_pipeline(PARENT)
    spec = to_spec(pipeline)
    assert msgspec.json.decode(msgspec.json.encode(spec)) == spec
    assert read_pipeline(spec) == pipeline
    assert apply_change({}, {"pipeline": PARENT}) == pipeline


def test_every_family_has_a_default_that_is_complete() -> None:
    for name in FAMILIES:
        member = read_pipeline({"members": [{"model": {"family": name}}]}).members[0]
        assert family(member) == name
        assert member.encoding is not None


def test_equal_meanings_have_equal_keys_and_different_ones_do_not() -> None:
    implied = read_pipeline({"members": [{"model": {"family": "ridge"}}]})
    said = {"categories": "onehot", "numbers": "standard", "log_skew": 0.75, "winsor": 0.005}
    spoken = read_pipeline({"members": [{"model": {"family": "ridge", "alpha": 0}, "encoding": said, "bag": 3}]})
    assert pipeline_key(implied) == pipeline_key(spoken), "a model without chance needs no bag"
    assert member_key(implied.members[0]) == member_key(spoken.members[0])
    other = apply_change(to_spec(implied), {"edit": {"set": {"model": {"alpha": 2.0}}}})
    assert member_key(other.members[0]) != member_key(implied.members[0])


def test_keys_do_not_move() -> None:
    """Recorded runs name members by key; a change here means that VOCABULARY must be counted up."""
    assert pipeline_key(Pipeline()) == "5af1e213e0f9de0c"
    assert member_key(read_pipeline(PARENT).members[0]) == "4b931d2a6789e0bd"


def test_normalising_drops_repetitions_and_is_idempotent() -> None:
    doubled = {"members": [PARENT["members"][0]] * 2 + [PARENT["members"][1]], "blend": {"kind": "mean", "shrink": 0.5}}
    pipeline = read_pipeline(doubled)
    assert len(pipeline.members) == 2
    assert pipeline.blend.shrink == 0
    assert normalise(pipeline) == pipeline
    assert read_pipeline({"members": [PARENT["members"][0]], "blend": {"kind": "stack"}}).blend.kind == "single"


def test_an_edit_changes_what_it_names_and_nothing_else() -> None:
    after = apply_change(PARENT, {"edit": {"member": "booster", "set": {"model": {"leaves": 20}, "bag": 3}}})
    before = read_pipeline(PARENT)
    assert after.members[1] == before.members[1]
    assert after.members[0].model == msgspec.structs.replace(before.members[0].model, leaves=20)
    assert after.members[0].bag == 3
    assert after.members[0].features == before.members[0].features


def test_an_edit_for_all_members_adds_and_drops_features() -> None:
    step = {"op": "target_encoding"}
    after = apply_change(PARENT, {"edit": {"add_features": [step], "drop_features": ["quality"]}})
    assert [[type(f).__name__ for f in m.features] for m in after.members] == [["TargetEncoding"]] * 2


def test_another_family_starts_from_its_defaults_and_keeps_what_is_in_front_of_it() -> None:
    after = apply_change(PARENT, {"edit": {"member": 0, "set": {"model": {"family": "svm"}, "encoding": {"rare": 9}}}})
    assert family(after.members[0]) == "svm"
    assert after.members[0].encoding == msgspec.structs.replace(default_encoding("svm"), rare=9)
    assert after.members[0].target == "log1p"


def test_members_come_and_go_and_a_growing_pipeline_is_blended() -> None:
    one = apply_change(PARENT, {"remove": [1]})
    assert (len(one.members), one.blend.kind) == (1, "single")
    two = apply_change(to_spec(one), {"add": [{"model": {"family": "knn"}}]})
    assert (len(two.members), two.blend.kind) == (2, "weights")
    three = apply_change(to_spec(two), {"add": {"model": {"family": "trees"}}, "blend": {"kind": "mean"}})
    assert [family(m) for m in three.members] == ["booster", "knn", "trees"]
    assert apply_change(to_spec(three), {"members": [{"model": {"family": "svm"}}]}).blend.kind == "single"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({}, "the change is empty"),
        ({"pipeline": PARENT, "blend": {}}, "stands alone; drop blend"),
        ({"pipeline": []}, "must be an object"),
        ({"magic": 1}, "unknown change magic"),
        ({"add": [{"model": {"family": "xgboost"}}]}, "xgboost"),
        ({"edit": {"member": "booster", "set": {"model": {"leaves": 0}}}}, ">= 2"),
        ({"edit": {"member": "booster", "set": {"model": {"alpha": 1}}}}, "unknown field `alpha`"),
        ({"edit": {"set": {"colour": "red"}}}, "colour"),
        ({"edit": {"member": "svm", "set": {}}}, "no member of family 'svm'"),
        ({"edit": {"member": 7, "set": {"bag": 2}}}, "no member 7"),
        ({"edit": {"member": 0, "put": {}}}, "unknown part of an edit: put"),
        ({"edit": 3}, "edit must be a list"),
        ({"edit": {"add_features": [{"op": "exec", "code": "…"}]}}, "exec"),
        ({"remove": [0, 1]}, "no member is left"),
        ({"remove": [True]}, "no member True"),
        ({"blend": {"kind": "weights"}}, "changes nothing"),
        ({"edit": {"member": "ridge", "set": {"encoding": {"categories": "native"}}}}, "no native categories"),
        ({"edit": {"member": "ridge", "set": {"encoding": {"categories": "codes"}}}}, "read codes as sizes"),
        ({"edit": {"member": "ridge", "set": {"encoding": {"numbers": "raw"}}}}, "needs scaled numbers"),
        ({"edit": {"member": 0, "set": {"encoding": {"pca": 3}}}}, "pca needs scaled numbers"),
        ({"edit": {"member": "ridge", "set": {"encoding": {"pca_only": True}}}}, "how many components"),
        ({"edit": {"add_features": [{"op": "sum", "columns": ["a", "b"], "name": "s", "weights": [1]}]}}, "1 weights"),
        (
            {"add": [{"model": {"family": "trees"}, "features": [{"op": "tfidf", "column": "said"}]}]},
            "takes no sparse terms",
        ),
    ],
)
def test_what_is_outside_the_vocabulary_is_refused_in_words(change: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        apply_change(PARENT, change)


def test_a_partial_change_needs_a_parent() -> None:
    with pytest.raises(ValueError, match="no parent"):
        apply_change({}, {"edit": {"set": {"bag": 2}}})


@pytest.mark.parametrize(
    ("kind", "spec", "words"),
    [
        ("regression", {"members": [{"model": {"family": "discriminant"}}]}, "for classes only"),
        ("binary", {"members": [{"model": {"family": "huber"}}]}, "for regression only"),
        ("binary", {"members": [{"target": "log1p"}]}, "for regression only"),
        ("binary", {"members": [{"model": {"family": "booster", "objective": "l1"}}]}, "for regression only"),
        ("binary", {"members": [{"model": {"family": "hist_booster", "loss": "poisson"}}]}, "for regression only"),
        ("regression", {"members": [{"temperature": True}]}, "for classes only"),
        ("regression", {"members": [{"features": [{"op": "ratio", "a": "size", "b": "sise"}]}]}, "did you mean size"),
        (
            "regression",
            {"members": [{"features": [{"op": "ratio", "a": "size", "b": "town"}]}]},
            "is category, but ratio",
        ),
        ("regression", {"members": [{"features": [{"op": "tfidf", "column": "size", "svd": 2}]}]}, "needs text"),
        ("regression", {"members": [{"features": [{"op": "date_parts", "column": "size"}]}]}, "needs time"),
        (
            "regression",
            {"members": [{"features": [{"op": "drop", "columns": ["town"]}, {"op": "quality", "columns": ["town"]}]}]},
            "not there: 'town'",
        ),
        ("regression", {**PARENT, "blend": {"kind": "rank"}}, "keeps only the order"),
        ("regression", {**PARENT, "blend": {"kind": "mean", "space": "logit"}}, "for probabilities"),
    ],
)
def test_what_does_not_suit_the_task_is_refused_in_words(kind: str, spec: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        check_task(read_pipeline(spec), task(kind))


def test_steps_may_use_columns_that_earlier_steps_made() -> None:
    steps = [{"op": "ratio", "a": "size", "b": "when"}, {"op": "product", "a": "size_per_when", "b": "size"}]
    check_task(read_pipeline({"members": [{"features": steps}]}), task())


def test_only_the_network_needs_torch() -> None:
    assert needs_torch(read_pipeline({"members": [{"model": {"family": "network"}}]}))
    assert not needs_torch(read_pipeline(PARENT))


def test_seeds_are_put_into_programs_that_have_a_place_for_them() -> None:
    program = "A = 1\nSEEDS = [0]\nPARTITIONS = [0]\n"
    assert with_seeds(program, [4, 5], [1, 2]) == "A = 1\nSEEDS = [4, 5]\nPARTITIONS = [1, 2]\n"
    with pytest.raises(ValueError, match="not rendered"):
        with_seeds("print(1)", [1], [0])
    with pytest.raises(ValueError, match="do not pair up"):
        with_seeds(program, [1, 2], [0])
