"""The runner's decider, as tables of (events, answers)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import pytest

from gome.events import (
    Artifact,
    AttemptAccepted,
    AttemptRejected,
    Bar,
    Budget,
    CodeReviewed,
    CodeWritten,
    DataProfiled,
    Draw,
    EffectCancelled,
    Event,
    ExecutionFinished,
    ExecutionRefused,
    ExecutionRequested,
    Metric,
    Payload,
    ReviewRequested,
    RunStarted,
    SelectionStarted,
    StopRequested,
    SubmissionScored,
    Task,
    Text,
)
from gome.kernel.errors import UsageError
from gome.kernel.settings import plugin_settings
from gome.kernel.testing import pure
from gome.plugins.runner.sandbox import plugin
from gome.plugins.runner.sandbox.settings import Settings
from tests.plugins.driver import Driver, requests


def artifact(name: str) -> Artifact:
    return Artifact(digest=f"sha256-{name}", size=1, name=name)


def started(rows: int = 100_000, **changes: Any) -> RunStarted:
    task = Task(
        name="t",
        kind="binary",
        metric=Metric("auc", True),
        target="y",
        id="id",
        columns=(),
        train=artifact("train"),
        test=artifact("test"),
        rows_train=rows,
        rows_test=10,
        classes=("0", "1"),
    )
    return RunStarted(**{"task": task, "seed": 2**31 + 5, **changes})


PROFILED = DataProfiled(folds=artifact("folds"), sample=artifact("sample"), fold_count=5, partitions=8)
BASE = {"train.csv", "test.csv", "folds.csv", "sample_submission.csv"}


def code(
    attempt: str = "a1", *, trusted: bool = False, members: tuple[str, ...] = (), text: str = "pass", **fields: Any
) -> CodeWritten:
    program = Text.of(text)
    return CodeWritten(
        attempt=attempt,
        program=program,
        digest=program.digest,
        trusted=trusted,
        renderer="r",
        members=members,
        **fields,
    )


def finished(attempt: str = "a1", purpose: str = "debug", *, ok: bool = True, **fields: Any) -> ExecutionFinished:
    values = {"program": Text.of("pass").digest, "seed": 5, **fields}
    return ExecutionFinished(attempt=attempt, purpose=purpose, ok=ok, **values)  # type: ignore[arg-type]


def answers(make_event: Callable[..., Event], *payloads: Payload, active: float = 0.0) -> Sequence[Payload]:
    """Fold everything, then ask about the last event, with nothing of the world within reach."""
    state = plugin.initial()
    event = None
    with pure():
        for i, payload in enumerate(payloads):
            event = make_event(payload, f"{i:032}", active)
            state = plugin.evolve(state, event)
        assert event is not None
        return plugin.decide(state, event, Draw(1, event.id)) if type(event.payload) in (plugin.answers or ()) else ()


def one(found: Sequence[Payload]) -> ExecutionRequested:
    (request,) = found
    assert isinstance(request, ExecutionRequested)
    return request


def test_code_of_a_model_is_run_on_a_sample_first(make_event: Any) -> None:
    asked = one(answers(make_event, started(), PROFILED, code(members=("k",))))
    assert asked.purpose == "debug"
    assert asked.limits.seconds == 120
    assert set(asked.inputs) == BASE
    assert (asked.seed, asked.partition) == (5, 0)


def test_a_rendered_program_is_run_in_full_at_once(make_event: Any) -> None:
    asked = one(answers(make_event, started(), PROFILED, code(trusted=True)))
    assert (asked.purpose, asked.trusted, asked.renderer, asked.limits.seconds) == ("full", True, "r", 600)


@pytest.mark.parametrize(("rows", "purpose"), [(1999, "full"), (2000, "full"), (2001, "debug"), (100_000, "debug")])
def test_a_sample_of_all_rows_is_no_sample(make_event: Any, rows: int, purpose: str) -> None:
    assert one(answers(make_event, started(rows), PROFILED, code())).purpose == purpose


def test_a_debug_execution_that_went_well_is_followed_by_the_full_one(make_event: Any) -> None:
    asked = one(answers(make_event, started(), PROFILED, code(), finished()))
    assert (asked.purpose, asked.attempt) == ("full", "a1")


REVIEWED = CodeReviewed("a1", Text.of("pass").digest, ok=True)


def test_a_program_that_wants_a_review_gets_it_before_its_full_execution(make_event: Any) -> None:
    written = code(review=True)
    (asked,) = answers(make_event, started(), PROFILED, written, finished())
    assert asked == ReviewRequested("a1", written.program)
    assert one(answers(make_event, started(), PROFILED, written, finished(), REVIEWED)).purpose == "full"


def test_a_review_comes_first_where_a_sample_would_be_all_rows(make_event: Any) -> None:
    (asked,) = answers(make_event, started(1500), PROFILED, code(review=True))
    assert isinstance(asked, ReviewRequested)
    assert one(answers(make_event, started(1500), PROFILED, code(review=True), REVIEWED)).purpose == "full"


def test_a_rewritten_program_goes_through_debug_and_review_again(make_event: Any) -> None:
    before = (started(), PROFILED, code(review=True, repairs=1), finished(ok=False, failure="data"))
    rewritten = code(text="again", review=True, number=1)
    asked = one(answers(make_event, *before, rewritten))
    assert (asked.purpose, str(asked.program)) == ("debug", "again")
    assert answers(make_event, *before, rewritten, finished()) == ()
    (review,) = answers(make_event, *before, rewritten, finished(program=Text.of("again").digest))
    assert review == ReviewRequested("a1", rewritten.program)


@pytest.mark.parametrize(
    "verdict", [CodeReviewed("a1", Text.of("pass").digest, ok=False), CodeReviewed("a1", "x", True)]
)
def test_a_review_that_finds_fault_or_is_of_another_version_starts_nothing(make_event: Any, verdict: Payload) -> None:
    assert answers(make_event, started(), PROFILED, code(review=True), finished(), verdict) == ()


@pytest.mark.parametrize(
    ("seconds", "sampled", "share", "estimate"),
    [
        (61.0, 10_000, None, None),  # 2 + 59 × 10 = 592
        (62.0, 10_000, None, "700"),
        (62.0, 0, None, None),
        (20.0, 10_000, 0.5, None),  # 2 + 18 × 10 / 0.5 = 362
        (20.0, 10_000, 0.1, "2000"),
        (20.0, 10_000, 7, None),
        (20.0, 10_000, "half", None),
        (1.5, 10, 0.001, None),
    ],
)
def test_a_program_whose_full_execution_cannot_end_in_time_is_sent_back(
    make_event: Any, seconds: float, sampled: int, share: Any, estimate: str | None
) -> None:
    diagnostics = {} if share is None else {"debug_share": share}
    done = finished(seconds=seconds, sampled=sampled, diagnostics=diagnostics)
    (said,) = answers(make_event, started(), PROFILED, code(repairs=1), done)
    if estimate is None:
        assert isinstance(said, ExecutionRequested) and said.purpose == "full"
    else:
        assert isinstance(said, CodeReviewed) and not said.ok and said.digest == done.program
        assert said.problem.startswith(f"estimated full run {estimate} s, limit 600 s: the debug execution took about ")
    # What can no longer be repaired is tried all the same: an estimate is no proof.
    assert one(answers(make_event, started(), PROFILED, code(), done)).purpose == "full"


def test_what_is_left_of_the_budget_counts_as_a_limit(make_event: Any) -> None:
    done = finished(seconds=12.0, sampled=10_000)
    budget = Budget(seconds=1000)
    early = answers(make_event, started(budget=budget), PROFILED, code(repairs=1), done, active=800)
    late = answers(make_event, started(budget=budget), PROFILED, code(repairs=1), done, active=930)
    assert one(early).purpose == "full"
    assert isinstance(late[0], CodeReviewed) and "estimated full run 200 s, limit 70 s" in late[0].problem


@pytest.mark.parametrize(
    ("late", "allowed", "debug", "full"),
    [(0, True, 120, 600), (1, True, 156, 600), (2, True, 192, 780), (9, True, 360, 1200), (9, False, 120, 600)],
)
def test_limits_grow_with_the_programs_that_exceed_them_where_that_is_allowed(
    make_event: Any, late: int, allowed: bool, debug: float, full: float
) -> None:
    past = [finished(f"b{n}", "full" if n % 2 else "debug", ok=False, failure="time") for n in range(late)]
    past += [finished("c", "rerun", ok=False, failure="time"), finished("d", ok=False, failure="memory")]
    begin = started(settings={"sandbox": {"allow_longer": allowed}})
    asked = [one(answers(make_event, begin, PROFILED, *past, code(trusted=t))).limits.seconds for t in (False, True)]
    assert asked == pytest.approx([debug, full])


@pytest.mark.parametrize(
    "result",
    [
        finished(ok=False, failure="data"),
        finished(purpose="full"),
        finished(purpose="seed"),
        finished(program="sha256-of-an-earlier-text"),
        finished(attempt="unheard of"),
    ],
)
def test_other_results_are_answered_by_silence(make_event: Any, result: ExecutionFinished) -> None:
    assert answers(make_event, started(), PROFILED, code(), result) == ()


@pytest.mark.parametrize("end", [StopRequested(), SelectionStarted(reason="time")])
@pytest.mark.parametrize("last", [code(), finished()])
def test_nothing_is_begun_once_the_run_is_ending(make_event: Any, end: Payload, last: Payload) -> None:
    assert answers(make_event, started(), PROFILED, code(), end, last) == ()


@pytest.mark.parametrize(
    ("budget", "spent", "active", "seconds"),
    [
        (Budget(), 0, 1e6, 600),
        (Budget(seconds=1000), 0, 900, 100),
        (Budget(seconds=1000), 0, 100, 600),
        (Budget(execution_seconds=300), 250, 900, 50),
        (Budget(seconds=1000, execution_seconds=900), 100, 990, 10),
        (Budget(seconds=1000), 0, 1000, None),
        (Budget(execution_seconds=200), 250, 0, None),
    ],
)
def test_limits_are_cut_to_what_is_left(
    make_event: Any, budget: Budget, spent: float, active: float, seconds: float | None
) -> None:
    past = finished("a0", "full", seconds=float(spent))
    found = answers(make_event, started(budget=budget), PROFILED, past, code(trusted=True), active=active)
    limits = [r.limits.seconds for r in found if isinstance(r, ExecutionRequested)]
    assert limits == ([] if seconds is None else [seconds])


def limited(**budget: Any) -> Driver:
    run = Driver(plugin)
    run.say(started(rows=1000, budget=Budget(**budget)))
    run.say(PROFILED)
    return run


def test_what_is_in_flight_is_not_given_away_again() -> None:
    run = limited(execution_seconds=1000)
    (first,) = requests(run.say(code("a1")))
    (second,) = requests(run.say(code("a2")))
    assert (first.limits.seconds, second.limits.seconds) == (600, 400)


def test_a_program_waits_while_others_hold_what_it_needs_and_runs_when_they_release_it() -> None:
    run = limited(execution_seconds=603)
    (first,) = requests(run.say(code("a1")))
    assert run.say(code("a2")) == [] == run.say(code("a3"))
    said = run.answer(first, finished("a1", "full", seconds=3.0))
    assert [(r.attempt, r.limits.seconds) for r in requests(said)] == [("a2", 600)]
    said = run.answer(requests(said)[0], EffectCancelled("i", "ExecutionRequested", "enough", "a2"))
    assert [(r.attempt, r.limits.seconds) for r in requests(said)] == [("a3", 600)]


def test_executions_in_flight_count() -> None:
    run = limited(executions=2)
    first, second = (requests(run.say(code(name)))[0] for name in ("a1", "a2"))
    assert run.say(code("a3")) == []
    run.answer(first, EffectCancelled("i", "ExecutionRequested", "enough", "a1"))
    assert run.last(ExecutionRequested).attempt == "a3"
    assert run.answer(second, finished("a2", "full")) == []


@pytest.mark.parametrize(
    ("budget", "limit", "spent"),
    [({"execution_seconds": 100}, "execution_seconds", 97.0), ({"executions": 1}, "executions", 1.0)],
)
def test_what_is_no_use_any_more_is_refused_with_the_reason(budget: dict[str, Any], limit: str, spent: float) -> None:
    run = limited(**budget)
    (first,) = requests(run.say(code("a1")))
    run.answer(first, finished("a1", "full", seconds=97.0))
    (refused,) = run.say(code("a2"))
    assert isinstance(refused, ExecutionRefused)
    assert (refused.attempt, refused.purpose, refused.limit, refused.spent) == ("a2", "full", limit, spent)
    assert f"{spent:g} of {refused.allowed:g}" in refused.reason


def test_a_debug_execution_that_waits_stays_one() -> None:
    run = Driver(plugin)
    run.say(started(budget=Budget(execution_seconds=121)))
    run.say(PROFILED)
    (first,) = requests(run.say(code("a1")))
    run.say(code("a2"))
    said = requests(run.answer(first, finished("a1", seconds=1.0)))
    assert [(r.attempt, r.purpose, r.limits.seconds) for r in said] == [("a2", "debug", 120)]
    assert requests(run.answer(said[0], finished("a2", seconds=1.0)))[0].limits.seconds == 119
    assert [(r.attempt, r.purpose) for r in run.all(ExecutionRequested)][2] == ("a1", "full")


MEMBER = {f"members/k/{name}": artifact(name) for name in ("oof.csv", "submission.csv")}


@pytest.mark.parametrize(
    ("earlier", "reused"),
    [
        (finished("a0", "full", outputs=MEMBER), True),
        (finished("baseline", "rerun", outputs=MEMBER), True),
        (finished("a0", "full", outputs=MEMBER, seed=6), False),
        (finished("a0", "full", outputs=MEMBER, partition=1), False),
        (finished("a0", "debug", outputs=MEMBER), False),
        (finished("a0", "audit", outputs=MEMBER, masked_fold=0), False),
        (finished("a0", "full", outputs=MEMBER, ok=False), False),
        (finished("a0", "full", outputs={"members/k/oof.csv": artifact("oof.csv")}), False),
    ],
)
def test_members_are_reused_only_with_the_same_seed_and_partition(
    make_event: Any, earlier: ExecutionFinished, reused: bool
) -> None:
    asked = one(answers(make_event, started(), PROFILED, earlier, code(trusted=True, members=("k", "unknown"))))
    assert set(asked.inputs) == BASE | (set(MEMBER) if reused else set())


def test_settings_of_the_run_set_the_limits(make_event: Any) -> None:
    table = {"sandbox": {"seconds": 33.0, "memory_mb": 99, "cores": 2, "processes": 7}}
    limits = one(answers(make_event, started(settings=table), PROFILED, code(trusted=True))).limits
    assert (limits.seconds, limits.memory_mb, limits.cores, limits.processes) == (33.0, 99, 2, 7)


@pytest.mark.parametrize(
    ("table", "text", "expected"),
    [
        ({"gpus": 1}, "import torch", (1, 1.0)),
        ({"gpus": 1, "gpu_share": 0.25}, "import torch", (1, 0.25)),
        ({"gpus": 1, "gpu_share": 0.25}, "import lightgbm", (0, 1.0)),
        ({}, "import torch", (0, 1.0)),
    ],
)
def test_only_a_program_that_can_use_a_gpu_asks_for_one(
    make_event: Any, table: dict[str, Any], text: str, expected: tuple[int, float]
) -> None:
    settings = {"sandbox": table}
    asked = one(answers(make_event, started(settings=settings), PROFILED, code(trusted=True, text=text)))
    assert (asked.limits.gpus, asked.limits.gpu_share) == expected
    assert asked.occupies().accelerator == (expected[1] if expected[0] else 0.0)


@pytest.mark.parametrize("table", [{"gpus": 2}, {"gpu_share": 0.0}, {"gpu_share": 1.5}])
def test_shares_of_gpus_that_nobody_can_have_are_refused(table: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=r"sandbox\.gpu"):
        plugin_settings("sandbox", Settings, table)


def test_the_plugin_is_the_default_runner() -> None:
    assert (plugin.name, plugin.role, plugin.default) == ("sandbox", "runner", True)
    (effect,) = plugin.effects
    assert (effect.policy, effect.pool, effect.attempts) == ("reconcile", "cores", 2)


def test_where_executions_are_limited_a_review_still_comes_before_the_full_one() -> None:
    run = limited(execution_seconds=1000)
    (review,) = run.say(code(review=True))
    assert isinstance(review, ReviewRequested)
    assert run.say(CodeReviewed("a1", "another", ok=True)) == []
    (full,) = requests(run.say(REVIEWED))
    assert full.purpose == "full"


def test_where_executions_are_limited_a_program_too_slow_for_what_is_left_is_sent_back() -> None:
    run = Driver(plugin)
    run.say(started(budget=Budget(execution_seconds=100)))
    run.say(PROFILED)
    (debug,) = requests(run.say(code(review=True, repairs=1)))
    (verdict,) = run.answer(debug, finished(seconds=15.0, sampled=10_000))
    assert isinstance(verdict, CodeReviewed) and not verdict.ok and "full run 200 s, limit 80 s" in verdict.problem
    (debug,) = requests(run.say(code(text="faster", review=True, number=1)))
    done = finished(seconds=3.0, sampled=10_000, program=Text.of("faster").digest)
    assert [type(p) for p in run.answer(debug, done)] == [ReviewRequested]


def scored(attempt: str, score: float, partition: int = 0, purpose: Any = "full") -> SubmissionScored:
    folds = (score - 0.01, score, score, score + 0.01)
    return SubmissionScored(attempt, purpose, score, fold_scores=folds, se=0.005, partition=partition)


EARLIER = [
    scored("b1", 0.7),
    AttemptAccepted("b1"),
    scored("b2", 0.8),
    AttemptAccepted("b2"),
    scored("b3", 0.9),
    AttemptRejected("b3"),
    scored("b4", 0.75),
    AttemptAccepted("b4"),
    scored("b2", 0.99, partition=1, purpose="repeat"),
    scored("b5", 0.95),
]


def test_the_bar_of_a_full_execution_are_the_folds_of_the_best_accepted_attempt(make_event: Any) -> None:
    begin = started(settings={"sandbox": {"stop_early": True, "early_margin": 1.5}})
    full = one(answers(make_event, begin, PROFILED, *EARLIER, code(trusted=True)))
    assert full.limits.bar == Bar("b2", (0.79, 0.8, 0.8, 0.81), pytest.approx(1.5 * 0.005 * 2), greater=True)
    debug = one(answers(make_event, begin, PROFILED, *EARLIER, code()))
    assert debug.purpose == "debug" and debug.limits.bar is None
    assert one(answers(make_event, begin, PROFILED, code(trusted=True))).limits.bar is None


def test_without_the_setting_there_is_no_bar_and_no_trace_of_one(make_event: Any) -> None:
    full = one(answers(make_event, started(), PROFILED, *EARLIER, code(trusted=True)))
    assert full.limits.bar is None and b"bar" not in msgspec.json.encode(full)
