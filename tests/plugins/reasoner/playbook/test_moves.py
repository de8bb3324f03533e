"""Each move by itself: which diagnostics call it up, what it changes, and that it stays silent otherwise."""

from __future__ import annotations

from typing import Any

import pytest

from gome.events import Column
from gome.events.pipeline import Pipeline, apply_change, check_task, family
from gome.plugins.reasoner.playbook.diagnose import diagnose
from gome.plugins.reasoner.playbook.facts import Facts
from gome.plugins.reasoner.playbook.idea import Idea
from gome.plugins.reasoner.playbook.moves import MOVES
from gome.plugins.reasoner.playbook.propose import ideas_for
from tests.plugins.reasoner.playbook.playing import HOUSES, PROFILE, Game, described, task_of

BOOSTER: dict[str, Any] = {"model": {"family": "booster", "leaves": 10}}
CLASSES = tuple("abcdef")


def facts_after(
    members: list[dict[str, Any]],
    *,
    game: Game | None = None,
    said: dict[str, Any] | None = None,
    weights: list[float] | None = None,
    scorer: dict[str, Any] | None = None,
    blend: dict[str, Any] | None = None,
    active: float = 0.0,
) -> tuple[Facts, Game]:
    """Facts of a second step whose parent has these members and says these things of each of them."""
    game = game or Game()

    def diagnostics(pipeline: Pipeline) -> dict[str, Any]:
        found = described(pipeline, **(said or {}))
        if weights:
            found["blend"] = {"weights": weights}
        return found

    change = {"pipeline": {"members": members, **({"blend": blend} if blend else {})}}
    game.plan("a1", 0, stage="draft")
    game.finish("a1", change, 0.13, diagnostics=diagnostics, scorer=scorer)
    game.active = active
    game.plan("a2", 0)
    return game.facts("a2"), game


def ideas(facts: Facts, move: str, variant: str = "") -> list[Idea]:
    """What a move suggests for the facts, if it is called up at all."""
    found = ideas_for(facts, diagnose(facts))
    return [i for i in found if i.move == move and (not variant or i.variant == variant)]


def after(facts: Facts, game: Game, idea: Idea) -> Pipeline:
    """The pipeline that an idea leads to, checked against the task."""
    pipeline = apply_change(facts.parent, idea.change)
    check_task(pipeline, game.task)
    return pipeline


@pytest.mark.parametrize(
    ("bundle", "op"),
    [
        ("quality", "quality"),
        ("years", "difference"),
        ("sums", "sum"),
        ("ratios", "ratio"),
        ("target_encoding", "target_encoding"),
        ("space", "neighbours"),
        ("groups", "group_statistics"),
        ("codes", "categorise"),
        ("missing", "missing_indicators"),
        ("products", "product"),
    ],
)
def test_columns_call_up_their_bundle_of_features(bundle: str, op: str) -> None:
    facts, game = facts_after([BOOSTER])
    found = ideas(facts, "features", bundle)
    assert len(found) == 1
    steps = found[0].change["edit"]["add_features"]
    assert op in {s["op"] for s in steps}
    after(facts, game, found[0])


def test_bundles_need_their_columns() -> None:
    plain = tuple(Column(f"x{i}", "numeric") for i in range(5))
    facts, _ = facts_after([BOOSTER], game=Game(task_of(columns=plain), {}))
    assert not [i for i in ideas_for(facts, diagnose(facts)) if i.move == "features"]


def test_years_become_ages_and_halves_count_half() -> None:
    facts, _ = facts_after([BOOSTER])
    (years,) = ideas(facts, "features", "years")
    assert {"op": "difference", "a": "Year_Sold", "b": "Year_Built"} in years.change["edit"]["add_features"]
    (sums,) = ideas(facts, "features", "sums")
    baths = next(s for s in sums.change["edit"]["add_features"] if "Half_Bath" in s["columns"])
    assert dict(zip(baths["columns"], baths["weights"], strict=True)) == {"Full_Bath": 1.0, "Half_Bath": 0.5}


def test_all_bundles_at_once_are_one_idea_and_none_is_suggested_twice() -> None:
    facts, game = facts_after([BOOSTER])
    (everything,) = ideas(facts, "features", "all")
    pipeline = after(facts, game, everything)
    assert len(pipeline.members[0].features) >= 10
    game.finish("a2", everything.change, 0.125)
    game.plan("a3", 0)
    again = game.facts("a3")
    assert not ideas(again, "features", "years") and ideas(again, "drop features") == []


def test_text_and_time_columns_call_up_terms_and_dates() -> None:
    columns = (Column("review", "text"), Column("day", "time"), Column("n", "numeric"))
    facts, game = facts_after([BOOSTER], game=Game(task_of(columns=columns), {}))
    assert {"op": "tfidf", "column": "review", "svd": 100} in ideas(facts, "features", "text_terms")[0].change["edit"][
        "add_features"
    ]
    after(facts, game, ideas(facts, "features", "dates")[0])


def test_drifting_columns_are_left_out_only_where_test_rows_can_be_told_apart() -> None:
    calm, _ = facts_after([BOOSTER])
    assert not ideas(calm, "features", "drift")
    profile = {**PROFILE, "adversarial": {"auc": 0.8, "columns": [["Mo_Sold", 0.6], ["Lot_Area", 0.1]]}}
    facts, game = facts_after([BOOSTER], game=Game(profile=profile))
    (drop,) = ideas(facts, "features", "drift")
    assert drop.change["edit"]["add_features"] == [{"op": "drop", "columns": ["Mo_Sold"]}]
    after(facts, game, drop)


def test_many_columns_for_few_rows_call_up_a_selection() -> None:
    wide = (*HOUSES, *(Column(f"x{i}", "numeric") for i in range(40)))
    facts, game = facts_after([BOOSTER], game=Game(task_of(columns=wide)))
    found = ideas(facts, "select columns")
    assert found and after(facts, game, found[0]).members[0].encoding
    assert not ideas(facts_after([BOOSTER])[0], "select columns")


def test_a_booster_at_its_cap_gets_more_rounds_or_larger_steps() -> None:
    capped = {"model": {**BOOSTER["model"], "rounds": 1000}}
    said_of_it = {"best_iterations": [1000, 998, 1000, 700, 1000], "rounds": 1000}
    facts, game = facts_after([capped], said=said_of_it)
    said = next(c for c in diagnose(facts) if c.name == "stops at its cap")
    assert said.evidence == "The booster stops at its cap of 1000 rounds in 4 of 5 folds." and said.weight > 0.8
    found = ideas(facts, "more rounds")
    assert {str(i.change["edit"]["set"]["model"]) for i in found} == {"{'rounds': 2000}", "{'learning_rate': 0.054}"}
    assert "4 of 5 folds" in found[0].reason
    after(facts, game, found[0])
    assert not ideas(facts_after([BOOSTER], said={"best_iterations": [300] * 5, "rounds": 1000})[0], "more rounds")


def test_a_gap_between_training_and_held_out_rows_calls_for_less_capacity_and_none_for_more() -> None:
    gap, game = facts_after([BOOSTER], said={"train_score": 0.04, "score": 0.13})
    assert {i.variant for i in ideas(gap, "less capacity")} == {"leaves", "colsample", "min_child", "rate"}
    after(gap, game, ideas(gap, "less capacity")[0])
    assert not ideas(gap, "more leaves")
    close, game = facts_after([BOOSTER], said={"train_score": 0.125, "score": 0.13})
    assert not ideas(close, "less capacity")
    (more,) = ideas(close, "more leaves")
    assert after(close, game, more).members[0].model.leaves == 20  # type: ignore[union-attr]


def test_a_booster_that_is_best_after_few_rounds_takes_finer_steps() -> None:
    facts, game = facts_after([BOOSTER], said={"best_iterations": [30, 40, 20, 35, 50], "rounds": 1000})
    (finer,) = ideas(facts, "finer steps")
    assert finer.change["edit"]["set"]["model"] == {"learning_rate": 0.015}
    after(facts, game, finer)


def test_a_skewed_target_calls_up_other_scales_and_only_for_regressions() -> None:
    facts, game = facts_after([BOOSTER], game=Game(task_of(metric="rmse")))
    (log,) = ideas(facts, "target", "log1p")
    assert after(facts, game, log).members[0].target == "log1p" and "1.90" in log.reason
    binary, _ = facts_after([BOOSTER], game=Game(task_of("binary", "roc_auc", True, classes=("no", "yes"))))
    assert not ideas(binary, "target")


def test_outliers_call_up_other_losses_and_the_metric_itself_comes_first() -> None:
    facts, game = facts_after(
        [BOOSTER], scorer={"outliers": 0.01, "outlier_loss": 0.4}, game=Game(task_of(metric="mae"))
    )
    found = ideas(facts, "loss")
    assert max(found, key=lambda i: i.gain).variant == "l1" and {i.variant for i in found} >= {"huber", "fair"}
    after(facts, game, found[0])
    assert not ideas(facts_after([BOOSTER], game=Game(profile={}))[0], "loss")


def test_a_rare_class_is_balanced_for_metrics_of_order_only() -> None:
    profile = {"target": {"minority": 0.1}}
    for metric, greater, expected in (("roc_auc", True, 1), ("log_loss", False, 0)):
        game = Game(task_of("binary", metric, greater, classes=("no", "yes")), profile)
        facts, game = facts_after([BOOSTER], game=game)
        found = ideas(facts, "class weight")
        assert len(found) == expected
        if found:
            after(facts, game, found[0])


def test_bad_calibration_calls_up_a_temperature() -> None:
    game = Game(task_of("multiclass", "log_loss", classes=CLASSES), {})
    facts, game = facts_after([{"model": {"family": "trees"}}], game=game, scorer={"calibration_error": 0.08})
    said = next(c for c in diagnose(facts) if c.name == "poorly calibrated")
    assert "8.0%" in said.evidence
    (found,) = ideas(facts, "temperature")
    assert after(facts, game, found).members[0].temperature


def test_seed_noise_calls_up_bags() -> None:
    assert not ideas(facts_after([BOOSTER])[0], "bag")
    facts, game = facts_after([BOOSTER], active=6000.0)
    (found,) = ideas(facts, "bag")
    assert after(facts, game, found).members[0].bag == 3


def test_fitted_models_of_other_traces_are_joined_into_a_blend() -> None:
    game = Game()
    for trace, name in ((1, "ridge"), (2, "svm")):
        game.plan(f"b{trace}", trace, stage="draft")
        game.finish(f"b{trace}", {"pipeline": {"members": [{"model": {"family": name}}]}}, 0.13)
    facts, game = facts_after([BOOSTER], game=game)
    found = ideas(facts, "join")
    assert found and all("cost" in i.reason for i in found)
    families = {family(m) for m in after(facts, game, found[0]).members}
    assert families == {"booster", "ridge", "svm"}


def test_a_solution_of_one_kind_gets_members_of_other_families_with_the_best_features() -> None:
    member = {**BOOSTER, "features": [{"op": "quality"}]}
    facts, game = facts_after([member])
    found = ideas(facts, "add member")
    assert {i.family for i in found} >= {"svm", "ridge", "kernel_ridge", "huber"} and "booster" not in {
        i.family for i in found
    }
    for idea in found:
        pipeline = after(facts, game, idea)
        assert (
            len(pipeline.members) == 2 and len(pipeline.members[1].features) == 1 and pipeline.blend.kind == "weights"
        )


def test_large_tables_get_no_kernel_methods() -> None:
    facts, _ = facts_after([BOOSTER], game=Game(task_of(rows=50_000)))
    assert not {i.family for i in ideas(facts, "add member")} & {"svm", "kernel_ridge", "gaussian_process"}


def test_a_leading_member_is_added_again_changed() -> None:
    facts, game = facts_after([BOOSTER, {"model": {"family": "ridge"}}], weights=[0.7, 0.3])
    found = ideas(facts, "add variant")
    assert found and all(len(after(facts, game, i).members) == 3 for i in found)
    assert any("70%" in i.reason for i in found)


def test_members_without_weight_are_pruned() -> None:
    three = [BOOSTER, {"model": {"family": "ridge"}}, {"model": {"family": "knn"}}]
    facts, game = facts_after(three, weights=[0.6, 0.4, 0.0])
    (found,) = ideas(facts, "prune")
    assert [family(m) for m in after(facts, game, found).members] == ["booster", "ridge"]
    assert not ideas(facts_after(three, weights=[0.5, 0.3, 0.2])[0], "prune")


def test_blends_of_several_members_are_tried_in_other_ways() -> None:
    three = [BOOSTER, {"model": {"family": "ridge"}}, {"model": {"family": "knn"}}]
    facts, game = facts_after(three)
    kinds = {after(facts, game, i).blend.kind for i in ideas(facts, "blend kind")}
    assert kinds >= {"greedy", "stack", "mean"}
    game = Game(task_of("binary", "roc_auc", True, classes=("no", "yes")), {})
    facts, game = facts_after(three, game=game)
    assert "rank" in {after(facts, game, i).blend.kind for i in ideas(facts, "blend kind")}


def test_settings_are_tuned_one_step_at_a_time_and_weigh_more_the_longer_a_trace_is_stuck() -> None:
    facts, game = facts_after([BOOSTER])
    found = ideas(facts, "tune")
    assert len(found) >= 8 and len({str(i.change) for i in found}) == len(found)
    for idea in found:
        assert len(idea.change["edit"]["set"]["model"]) == 1
        after(facts, game, idea)
    weight = next(c.weight for c in diagnose(facts) if c.name == "settings are first guesses")
    for number in range(2, 8):
        game.finish(f"a{number}", found[number].change, 0.14, accepted=False)
        game.plan(f"a{number + 1}", 0)
    stuck = next(c for c in diagnose(game.facts("a8")) if c.name == "settings are first guesses")
    assert stuck.weight > weight and "6 steps" in stuck.evidence


def test_encodings_other_than_the_familys_own_are_tried() -> None:
    facts, game = facts_after([{"model": {"family": "ridge"}}])
    (quantile,) = ideas(facts, "encoding", "quantile")
    encoding = after(facts, game, quantile).members[0].encoding
    assert encoding and encoding.numbers == "quantile" and encoding.categories == "onehot"


def test_every_move_of_the_catalogue_is_reachable_and_named_in_a_test_run() -> None:
    assert len({m.name for m in MOVES}) == len(MOVES)
    for move in MOVES:
        assert move.answers
