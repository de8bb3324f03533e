"""Final selection from its start to what is handed in, as tables of events and answers."""

from __future__ import annotations

import pytest

from gome.events import (
    AlarmRang,
    AlarmRequested,
    AttemptAccepted,
    AttemptRejected,
    Budget,
    BudgetExhausted,
    CancelRequested,
    CandidateRerun,
    CodeWritten,
    EffectCancelled,
    EffectFailed,
    Event,
    ExecutionRequested,
    FoldMasked,
    Limits,
    MaskRequested,
    OpinionGiven,
    OpinionRequested,
    Payload,
    PluginPin,
    SelectionFailed,
    SelectionStarted,
    StepPlanned,
    StopRequested,
    SubmissionRejected,
    SubmissionSelected,
    Text,
)
from gome.plugins.selection.reruns import plugin
from gome.plugins.selection.reruns.events import AverageRequested, SelectionPlanned, SubmissionAveraged
from tests.plugins.driver import Driver, artifact, requests, some_task


def run_of(
    scores: dict[str, float],
    *,
    budget: Budget | None = None,
    seconds: float = 10.0,
    greater: bool = False,
    metric: str = "rmse",
    program: str = "",
    **settings: object,
) -> Driver:
    """A run whose attempts were all accepted; selection has not started."""
    run = Driver(plugin, seed=7)
    run.start(budget=budget, task=some_task(metric, greater), reruns={"audit": False, **settings})
    for name, score in scores.items():
        run.attempt(name, score, seconds=seconds, program=program and program.format(name=name))
        run.say(AttemptAccepted(name))
    return run


def begin(run: Driver, *, active: float = 800.0) -> list[ExecutionRequested]:
    return requests(run.say(SelectionStarted("time"), active=active))


def outcome(run: Driver) -> SubmissionSelected:
    (found,) = run.all(SubmissionSelected)
    return found


def rerun_all(run: Driver, asked: list[ExecutionRequested], scores: dict[str, list[float]]) -> list[Payload]:
    said: list[Payload] = []
    for request in asked:
        said = run.run(request, scores[request.attempt][request.partition - 1])
    return said


def test_the_best_three_run_three_times_each_with_new_seeds_and_partitions() -> None:
    run = run_of({"a1": 0.5, "a2": 0.3, "a3": 0.4, "a4": 0.9})
    asked = begin(run)
    assert [r.attempt for r in asked] == ["a2", "a3", "a1"] * 3
    assert [r.partition for r in asked] == [1, 1, 1, 2, 2, 2, 3, 3, 3]
    seeds = {r.partition: r.seed for r in asked}
    assert len(set(seeds.values())) == 3 and all(r.seed == seeds[r.partition] for r in asked)
    facts = run.all(CandidateRerun)
    assert [(f.attempt, f.seed, f.partition) for f in facts] == [(r.attempt, r.seed, r.partition) for r in asked]
    assert run.last(SelectionPlanned).candidates == ("a2", "a3", "a1")


def test_members_are_fitted_anew() -> None:
    run = Driver(plugin)
    run.start(reruns={"audit": False})
    run.attempt("a1", 0.5, members=True)
    run.say(AttemptAccepted("a1"))
    assert not any(name.startswith("members/") for r in begin(run) for name in r.inputs)


def test_the_winner_s_reruns_are_averaged_and_its_program_carries_their_seeds() -> None:
    run = run_of({"a1": 0.5, "a2": 0.3})
    asked = begin(run)
    said = rerun_all(run, asked, {"a1": [0.20, 0.21, 0.22], "a2": [0.30, 0.31, 0.32]})
    mean = next(p for p in said if isinstance(p, AverageRequested))
    assert [f.name.split(".")[:3] for f in mean.submissions] == [["a1", "rerun", str(r)] for r in (1, 2, 3)]
    assert mean.id == "id" and mean.columns == ("y",)
    run.answer(mean, SubmissionAveraged(artifact("mean.sub"), artifact("mean.oof")))
    found = outcome(run)
    assert (found.attempt, found.submission, found.oof) == ("a1", artifact("mean.sub"), artifact("mean.oof"))
    assert found.score == pytest.approx(0.21) and found.partitions == (1, 2, 3)
    assert f"SEEDS = {list(found.seeds)}\nPARTITIONS = [1, 2, 3]" in str(found.program)
    assert [c.attempt for c in found.candidates] == ["a1", "a2"]
    assert found.candidates[0].difference == pytest.approx(0.1) and found.candidates[0].reruns == 3


def test_direction_turns_with_the_metric() -> None:
    run = run_of({"a1": 0.5, "a2": 0.6}, greater=True, metric="r2")
    asked = begin(run)
    assert asked[0].attempt == "a2"
    rerun_all(run, asked, {"a1": [0.9, 0.9, 0.9], "a2": [0.6, 0.6, 0.6]})
    assert run.last(AverageRequested).submissions[0].name.startswith("a1")


def test_the_median_run_is_handed_in_where_the_metric_allows_no_mean() -> None:
    run = run_of({"a1": 0.5}, greater=True, metric="quadratic_kappa")
    asked = begin(run)
    rerun_all(run, asked, {"a1": [0.9, 0.5, 0.7]})
    found = outcome(run)
    assert found.partitions == (3,) and found.score == 0.7 and found.submission.name.startswith("a1.rerun.3")
    assert "PARTITIONS = [3]" in str(found.program)


def test_a_program_without_the_constant_lines_hands_in_its_median_run() -> None:
    run = run_of({"a1": 0.5}, program="print('{name}')\n")
    rerun_all(run, begin(run), {"a1": [0.3, 0.1, 0.2]})
    found = outcome(run)
    assert found.score == 0.2 and str(found.program) == "print('a1')\n" and found.seeds == (begin_seed(run, 3),)


def begin_seed(run: Driver, partition: int) -> int:
    return next(f.seed for f in run.all(CandidateRerun) if f.partition == partition)


def test_the_same_program_is_a_candidate_once() -> None:
    run = run_of({"a1": 0.5, "a2": 0.3}, program="SEEDS = [0]\nPARTITIONS = [0]\n")
    assert {r.attempt for r in begin(run)} == {"a1"}


def test_rejected_attempts_are_no_candidates() -> None:
    run = run_of({"a1": 0.5})
    run.attempt("a2", 0.1)
    run.say(AttemptRejected("a2"))
    assert {r.attempt for r in begin(run)} == {"a1"}


@pytest.mark.parametrize(("left", "plan"), [(200.0, (3, 3)), (40.0, (3, 2)), (29.0, (2, 2)), (17.0, (2, 1))])
def test_the_plan_shrinks_to_the_time_left(left: float, plan: tuple[int, int]) -> None:
    run = run_of({"a1": 0.5, "a2": 0.3, "a3": 0.4}, seconds=10.0)
    asked = begin(run, active=1000.0 - left)
    assert (len({r.attempt for r in asked}), len({r.partition for r in asked})) == plan


@pytest.mark.parametrize(
    ("left", "reruns", "audits"), [(200.0, 9, 3), (53.0, 6, 2), (43.0, 4, 2), (33.0, 4, 0), (28.5, 4, 0), (19.0, 2, 0)]
)
def test_audits_of_trusted_programs_yield_to_reruns(left: float, reruns: int, audits: int) -> None:
    run = run_of({"a1": 0.5, "a2": 0.3, "a3": 0.4}, seconds=10.0, audit=True)
    asked = begin(run, active=1000.0 - left)
    assert (len(asked), len(run.last(SelectionPlanned).audited)) == (reruns, audits)


def test_a_stranger_s_program_is_audited_before_it_is_averaged() -> None:
    run = Driver(plugin)
    run.start(reruns={})
    for name, score in (("a1", 0.5), ("a2", 0.3)):
        run.attempt(name, score, trusted=False)
        run.say(AttemptAccepted(name))
    asked = begin(run, active=1000.0 - 28.0)
    assert len(asked) == 2 and run.last(SelectionPlanned).audited == ("a2", "a1")


def test_without_time_the_best_is_handed_in_as_it_is() -> None:
    run = run_of({"a1": 0.5, "a2": 0.3})
    assert not begin(run, active=998.0)
    found = outcome(run)
    assert (found.attempt, found.submission, found.score) == ("a2", artifact("a2.sub"), 0.3)
    assert found.seeds == (7,) and found.partitions == (0,) and "SEEDS = [7]" in str(found.program)


def test_the_budget_of_executions_bounds_the_reruns() -> None:
    run = run_of({"a1": 0.5, "a2": 0.3}, budget=Budget(executions=5))
    assert [(r.attempt, r.partition) for r in begin(run)] == [("a2", 1), ("a1", 1)]


def test_reruns_share_what_is_left_of_the_execution_seconds_by_what_they_cost() -> None:
    run = run_of({"a1": 0.5, "a2": 0.3}, budget=Budget(execution_seconds=200.0))
    run.say(ExecutionRequested("a9", "full", Text.of("pass"), {}, limits=Limits(seconds=60.0)))
    asked = begin(run)
    assert [r.attempt for r in asked] == ["a2", "a1"] * 3
    assert sum(r.limits.seconds for r in asked) == pytest.approx(200.0 - 20.0 - 60.0)
    assert all(r.limits.seconds == pytest.approx(20.0) for r in asked)


@pytest.mark.parametrize(("policy", "attempt"), [("best_validation", "a2"), ("last_accepted", "a3")])
def test_other_policies_hand_in_without_reruns(policy: str, attempt: str) -> None:
    run = run_of({"a1": 0.5, "a2": 0.3, "a3": 0.4}, policy=policy)
    assert not begin(run)
    assert outcome(run).attempt == attempt


def test_resplit_takes_the_best_of_a_fresh_partition_and_its_own_submission() -> None:
    run = run_of({"a1": 0.5, "a2": 0.3, "a3": 0.4}, policy="resplit")
    asked = begin(run)
    assert [(r.attempt, r.partition, r.seed) for r in asked] == [("a2", 1, 7), ("a3", 1, 7), ("a1", 1, 7)]
    rerun_all(run, asked, {"a1": [0.35], "a2": [0.5], "a3": [0.6]})
    found = outcome(run)
    assert (found.attempt, found.submission) == ("a1", artifact("a1.sub"))


def test_by_opinion_the_reasoner_s_favourite_hands_in_its_own_submission() -> None:
    run = run_of({"a1": 0.5, "a2": 0.3, "a3": 0.4, "a4": 0.9}, policy="opinion")
    assert begin(run) == []
    (asked,) = run.all(OpinionRequested)
    assert [(c.attempt, c.score) for c in asked.candidates] == [("a2", 0.3), ("a3", 0.4), ("a1", 0.5)]
    run.answer(asked, OpinionGiven(("a3", "a2", "a1"), "it overfits least"))
    found = outcome(run)
    assert (found.attempt, found.submission) == ("a3", artifact("a3.sub"))
    assert "it overfits least" in found.reason


def test_without_an_opinion_the_best_validation_score_is_handed_in_and_said_so() -> None:
    run = run_of({"a1": 0.5, "a2": 0.3}, policy="opinion")
    begin(run)
    event = next(e for e in run.log if isinstance(e.payload, OpinionRequested))
    run.say(EffectFailed(event.id, "OpinionRequested", 1, "nobody performs it"), cause=event.id)
    assert outcome(run).attempt == "a2" and "no opinion" in outcome(run).reason


def test_an_opinion_that_comes_after_the_time_is_nobody_s_concern() -> None:
    run = run_of({"a1": 0.5, "a2": 0.3}, policy="opinion")
    begin(run)
    run.say(BudgetExhausted("seconds", 1000.0, 1000.0))
    assert outcome(run).attempt == "a2"
    run.answer(run.last(OpinionRequested), OpinionGiven(("a1", "a2")))
    assert len(run.all(SubmissionSelected)) == 1


def test_last_verdicts_are_waited_for() -> None:
    run = run_of({"a1": 0.5})
    run.attempt("a2", 0.1)
    assert not begin(run)
    asked = requests(run.say(AttemptAccepted("a2")))
    assert asked[0].attempt == "a2"


def test_a_failed_rerun_counts_for_nothing_and_the_rest_goes_on() -> None:
    run = run_of({"a1": 0.5, "a2": 0.3})
    asked = begin(run)
    for request in asked:
        if request.attempt == "a2" and request.partition == 1:
            run.answer(request, run.finished(request, ok=False))
        elif request.attempt == "a2" and request.partition == 2:
            intent = next(e for e in run.log if e.payload is request).id
            run.say(EffectFailed(intent, "ExecutionRequested", 3, "lost", attempt="a2"), cause=intent)
        else:
            run.run(request, 0.4 if request.attempt == "a1" else 0.3)
    assert run.all(AverageRequested) == []
    found = outcome(run)
    assert found.attempt == "a2" and found.partitions == (3,)
    assert {c.attempt: c.reruns for c in found.candidates} == {"a1": 3, "a2": 1}


def test_a_leader_whose_reruns_all_fail_does_not_win() -> None:
    run = run_of({"a1": 0.5, "a2": 0.3})
    for request in begin(run):
        if request.attempt == "a2":
            run.answer(request, run.finished(request, ok=False))
        else:
            run.run(request, 0.5)
    assert run.last(AverageRequested).submissions[0].name.startswith("a1")


def test_when_everything_fails_the_best_submission_is_handed_in() -> None:
    run = run_of({"a1": 0.5, "a2": 0.3})
    for request in begin(run):
        run.answer(request, run.finished(request, ok=False))
    assert outcome(run).submission == artifact("a2.sub")


def test_a_failed_average_leaves_the_median_run() -> None:
    run = run_of({"a1": 0.5})
    rerun_all(run, begin(run), {"a1": [0.3, 0.1, 0.2]})
    intent = next(e for e in run.log if isinstance(e.payload, AverageRequested)).id
    run.say(EffectFailed(intent, "AverageRequested", 3, "disk full"), cause=intent)
    assert outcome(run).score == 0.2


@pytest.mark.parametrize("stop", [BudgetExhausted("seconds", 1000.0, 1000.0), StopRequested("enough")])
def test_at_the_end_of_time_what_has_come_decides(stop: Payload) -> None:
    run = run_of({"a1": 0.5, "a2": 0.3})
    asked = begin(run)
    for request in asked[:4]:
        run.run(request, {"a1": 0.2, "a2": 0.4}[request.attempt])
    run.say(stop)
    found = outcome(run)
    assert found.attempt == "a1" and len(found.seeds) == 1
    before = len(run.log)
    for request in asked[4:]:
        intent = next(e for e in run.log if e.payload is request).id
        run.say(EffectCancelled(intent, "ExecutionRequested", "over", attempt=request.attempt), cause=intent)
    assert len(run.log) == before + 2, "once something is handed in, nothing more is said"


def test_shortly_before_the_end_what_has_come_is_averaged_and_the_rest_called_off() -> None:
    run = run_of({"a1": 0.5, "a2": 0.3})
    asked = begin(run)
    alarm = run.last(AlarmRequested)
    assert alarm.at == 995.0
    for request in asked[:4]:
        run.run(request, {"a1": 0.2, "a2": 0.4}[request.attempt])
    said = run.answer(alarm, AlarmRang(alarm.name, alarm.at))
    open_ones = {e.id for e in run.log if any(e.payload is r for r in asked[4:])}
    assert {p.intent for p in said if isinstance(p, CancelRequested)} == open_ones
    mean = run.last(AverageRequested)
    late = run.run(asked[4], 0.0)
    assert not late, "a late rerun does not change what is being averaged"
    run.answer(mean, SubmissionAveraged(artifact("mean.sub"), artifact("mean.oof")))
    found = outcome(run)
    assert found.attempt == "a1" and found.partitions == (1, 2) and found.submission == artifact("mean.sub")


def test_an_alarm_after_the_end_is_nobody_s_concern() -> None:
    run = run_of({"a1": 0.5})
    rerun_all(run, begin(run), {"a1": [0.3, 0.1, 0.2]})
    run.answer(run.last(AverageRequested), SubmissionAveraged(artifact("mean.sub"), artifact("mean.oof")))
    alarm = run.last(AlarmRequested)
    assert not run.answer(alarm, AlarmRang(alarm.name, alarm.at))


def test_a_stop_before_selection_hands_in_at_once() -> None:
    run = run_of({"a1": 0.5})
    run.attempt("a2", 0.1)
    run.say(StopRequested("enough"))
    assert not begin(run)
    assert outcome(run).attempt == "a1"


def with_audits(scores: dict[str, float]) -> tuple[Driver, list[ExecutionRequested], list[ExecutionRequested]]:
    run = run_of(scores, audit=True, repeats=1)
    said = run.say(SelectionStarted("time"), active=800.0)
    mask = next(p for p in said if isinstance(p, MaskRequested))
    assert (mask.partition, mask.fold) == (0, 0)
    audits = requests(run.answer(mask, FoldMasked(0, 0, {"train.csv": artifact("masked")})), "audit")
    return run, requests(said, "rerun"), audits


def test_every_candidate_is_audited_and_one_that_fails_is_out() -> None:
    run, asked, audits = with_audits({"a1": 0.5, "a2": 0.3})
    assert [(a.attempt, a.masked_fold, a.partition, a.seed) for a in audits] == [("a2", 0, 0, 7), ("a1", 0, 0, 7)]
    for request in asked:
        run.run(request, {"a1": 0.5, "a2": 0.3}[request.attempt])
    run.answer(audits[0], run.finished(audits[0]))
    run.say(SubmissionRejected("a2", "audit", "sees its labels", layer=2, masked_fold=0))
    assert not run.all(SubmissionSelected)
    run.run(audits[1], 0.5)
    found = outcome(run)
    assert found.attempt == "a1"
    assert {c.attempt: c.audited for c in found.candidates} == {"a1": "passed", "a2": "failed: sees its labels"}


def test_when_all_audits_fail_the_next_accepted_attempt_is_handed_in() -> None:
    run, asked, audits = with_audits({"a1": 0.5, "a2": 0.3, "a3": 0.4, "a4": 0.6})
    for request in asked:
        run.run(request, 0.3)
    for audit in audits:
        run.answer(audit, run.finished(audit))
        run.say(SubmissionRejected(audit.attempt, "audit", "leak", layer=2, masked_fold=0))
    assert outcome(run).attempt == "a4"


def test_an_audit_that_runs_out_of_time_says_nothing() -> None:
    run, asked, audits = with_audits({"a1": 0.5})
    for request in asked:
        run.run(request, 0.5)
    intent = next(e for e in run.log if e.payload is audits[0]).id
    run.say(EffectCancelled(intent, "ExecutionRequested", "over", attempt="a1"), cause=intent)
    found = outcome(run)
    assert found.attempt == "a1" and found.candidates[0].audited == ""


def test_audits_passed_during_the_run_are_not_repeated() -> None:
    run = run_of({"a1": 0.5}, audit=True)
    audit = ExecutionRequested("a1", "audit", Text.of("x"), {}, masked_fold=2)
    run.say(audit)
    run.run(audit, 0.5)
    said = run.say(SelectionStarted("time"), active=800.0)
    assert not any(isinstance(p, MaskRequested) for p in said)
    assert run.last(SelectionPlanned).audited == ()


def test_the_baseline_is_handed_in_when_nothing_was_accepted() -> None:
    run = Driver(plugin)
    run.start()
    run.attempt("baseline", 0.9, planned=False)
    run.say(StepPlanned("a1", 0, 0))
    run.say(AttemptRejected("a1", failure="code"))
    begin(run)
    found = outcome(run)
    assert found.attempt == "baseline" and "baseline" in found.reason


def test_with_nothing_valid_selection_fails_with_the_reason() -> None:
    run = Driver(plugin)
    run.start()
    run.say(StepPlanned("a1", 0, 0))
    run.say(CodeWritten("a1", Text.of("x"), "d"))
    run.say(AttemptRejected("a1", failure="code"))
    begin(run)
    assert run.last(SelectionFailed).reason == "none of 1 attempts was accepted with a valid submission"
    assert not run.all(SubmissionSelected)


def test_nothing_is_said_before_selection_starts() -> None:
    run = run_of({"a1": 0.5})
    assert all(isinstance(e, Event) and e.by == "test" for e in run.log)


def run_with_baseline(score: float, flags: tuple[str, ...] = plugin.flags, **settings: object) -> Driver:
    """A run with a baseline of this score and two accepted attempts, of 0.5 and 0.3 (lower is better)."""
    run = Driver(plugin, seed=7)
    pin = PluginPin(name="reruns", role="selection", version="1", digest="", flags=flags)
    run.start(plugins=(pin,), reruns={"audit": False, **settings})
    program = "SEED = int(os.environ.get('GOME_SEED', '0'))\n"
    run.attempt("baseline", score, planned=False, feedback=None, program=program)
    for name, of in {"a1": 0.5, "a2": 0.3}.items():
        run.attempt(name, of)
        run.say(AttemptAccepted(name))
    return run


def test_a_baseline_that_validates_better_than_all_that_was_accepted_is_run_again_with_them_and_handed_in() -> None:
    run = run_with_baseline(0.2)
    asked = begin(run)
    assert [r.attempt for r in asked] == ["baseline", "a2", "a1"] * 3
    rerun_all(run, asked, {"baseline": [0.2, 0.21, 0.22], "a2": [0.3] * 3, "a1": [0.5] * 3})
    found = outcome(run)
    assert (found.attempt, found.score, found.partitions) == ("baseline", 0.21, (2,))
    assert f'os.environ.setdefault("GOME_SEED", "{found.seeds[0]}")' in str(found.program)
    assert "came out ahead of a2, a1" in found.reason


def test_a_baseline_that_does_not_hold_up_when_it_runs_again_is_not_handed_in() -> None:
    run = run_with_baseline(0.2)
    rerun_all(run, begin(run), {"baseline": [0.4] * 3, "a2": [0.3] * 3, "a1": [0.5] * 3})
    assert run.last(AverageRequested).submissions[0].name.startswith("a2")


def test_a_baseline_that_validates_worse_is_no_candidate() -> None:
    assert {r.attempt for r in begin(run_with_baseline(0.31))} == {"a1", "a2"}


@pytest.mark.parametrize("policy", ["best_validation", "last_accepted"])
def test_policies_of_accepted_attempts_never_hand_in_the_baseline_beside_them(policy: str) -> None:
    run = run_with_baseline(0.2, policy=policy)
    begin(run)
    assert outcome(run).attempt == "a2"


def test_a_run_recorded_before_baselines_were_candidates_hands_in_what_it_did() -> None:
    assert {r.attempt for r in begin(run_with_baseline(0.2, flags=()))} == {"a1", "a2"}


def test_where_there_is_no_time_to_run_again_the_better_baseline_is_handed_in() -> None:
    run = run_with_baseline(0.2)
    begin(run, active=999.0)
    assert outcome(run).attempt == "baseline" and "no time to run candidates again" in outcome(run).reason
