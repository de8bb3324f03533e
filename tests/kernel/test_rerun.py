"""What the decider of reruns says to each thing that can come of one."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from gome.events import (
    CODEC,
    ROOT,
    Artifact,
    CodeWritten,
    Comparison,
    DataProfiled,
    Draw,
    EffectFailed,
    Event,
    ExecutionFinished,
    ExecutionRequested,
    Metric,
    Payload,
    ProfileRequested,
    RerunCompared,
    RerunRequested,
    RunFinished,
    RunStarted,
    ScoreRequested,
    StepPlanned,
    StopRequested,
    SubmissionRejected,
    SubmissionScored,
    Task,
    Text,
    event_id,
)
from gome.kernel.appender import Scribe
from gome.kernel.connect import connect
from gome.kernel.rerun import RECORDED, State, cast, claimed, decide, evolve
from gome.kernel.rerunning import Wanted, begin, recorded
from gome.kernel.settings import load
from gome.kernel.start import Launcher

FILE = Artifact(digest="sha256-" + "0" * 64, size=1)
TASK = Task(
    name="toy",
    kind="regression",
    metric=Metric("rmse", False),
    target="y",
    id="id",
    columns=(),
    train=FILE,
    test=FILE,
    rows_train=2,
    rows_test=1,
)
OOF = Artifact(digest="sha256-" + "1" * 64, size=1)
DONE = ExecutionFinished(attempt="a3", purpose="full", ok=True, outputs={"oof.csv": OOF, "submission.csv": FILE})


def asked(**fields: object) -> RerunRequested:
    values = {"source": "old", "attempt": "a3", "program": Text.of("print(1)"), "basis": "rows", "recorded": 2.0}
    return RerunRequested(**{**values, "recorded_se": 0.1, "oof": OOF, **fields})  # type: ignore[arg-type]


def said(request: RerunRequested, *heard: Payload) -> list[Payload]:
    """The answer to the last of some events."""
    state, answer = State(), list[Payload]()
    for seq, payload in enumerate((RunStarted(task=TASK, seed=5), request, *heard), start=1):
        event = Event(id=f"{seq:032}", type=type(payload).__name__, seq=seq, ts=0.0, payload=payload)
        state = evolve(state, event)
        answer = list(decide(state, event, Draw(5, event.id)))
    return answer


def compared(request: RerunRequested, *heard: Payload) -> RerunCompared:
    result, end = said(request, DataProfiled(FILE, FILE, 5, 8), *heard)
    assert isinstance(result, RerunCompared) and isinstance(end, RunFinished)
    assert end.outcome == ("failed" if result.outcome == "failed" else "done")
    return result


def test_the_folds_are_dealt_as_they_were_before_the_program_runs_untrusted_on_nothing_but_the_tables() -> None:
    request = asked(folds_seed=9, folds=3, partitions=2, seed=4, partition=1)
    (profile,) = said(request)
    assert profile == ProfileRequested(task=TASK, seed=9, folds=3, partitions=2)
    *_, execution = said(request, DataProfiled(FILE, FILE, 3, 2))
    assert isinstance(execution, ExecutionRequested)
    assert (execution.trusted, execution.renderer, execution.seed, execution.partition) == (False, "", 4, 1)
    assert set(execution.inputs) == {"train.csv", "test.csv", "folds.csv", "sample_submission.csv"}


def test_a_program_that_ends_well_is_scored_against_its_recorded_predictions() -> None:
    (request,) = said(asked(), DataProfiled(FILE, FILE, 5, 8), DONE)
    assert isinstance(request, ScoreRequested)
    assert [(a.attempt, a.oof) for a in request.against] == [(RECORDED, OOF)]


@pytest.mark.parametrize(
    ("difference", "se", "outcome"),
    [(0.0, 0.0, "reproduced"), (1e-12, 0.0, "reproduced"), (-0.1, 0.06, "reproduced"), (-0.1, 0.04, "different")],
)
def test_scores_of_the_same_rows_are_the_same_within_two_standard_errors_of_their_paired_difference(
    difference: float, se: float, outcome: str
) -> None:
    pair = Comparison(RECORDED, difference, se)
    result = compared(asked(), DONE, SubmissionScored("a3", "full", 2.0 - difference, se=0.1, comparisons=(pair,)))
    assert (result.outcome, result.difference, result.se, result.paired) == (outcome, difference, se, True)


def test_without_the_recorded_predictions_the_scores_are_compared_as_if_independent() -> None:
    result = compared(asked(oof=None, recorded_se=0.3), DONE, SubmissionScored("a3", "full", 2.9, se=0.4))
    assert result.outcome == "reproduced" and not result.paired
    assert result.difference == pytest.approx(-0.9) and result.se == pytest.approx(0.5)


def test_on_other_rows_the_difference_is_told_without_a_verdict_and_of_another_metric_not_at_all() -> None:
    other = compared(asked(basis="metric", oof=None), DONE, SubmissionScored("a3", "full", 1.5))
    assert (other.outcome, other.difference, other.se) == ("scored", 0.5, None)
    foreign = compared(asked(basis="nothing", oof=None), DONE, SubmissionScored("a3", "full", 1.5))
    assert (foreign.outcome, foreign.recorded, foreign.difference) == ("scored", 2.0, None)


def test_a_program_without_out_of_fold_predictions_leaves_a_claim_that_nobody_can_check() -> None:
    printed = "fold 1 of 5\nValidation RMSE over 5 folds: 0.1234\nsaved submission.csv in 3 s\n"
    done = ExecutionFinished(
        attempt="a3",
        purpose="full",
        ok=False,
        failure="contract",
        error="oof.csv was not written",
        stdout=Text.of(printed),
        outputs={"submission.csv": FILE},
    )
    result = compared(asked(), done)
    assert (result.outcome, result.claim, result.score) == ("unchecked", 0.1234, None)
    assert "cannot be checked" in result.reason
    silent = msgspec.structs.replace(done, stdout=Text.of("done"), outputs={})
    assert (compared(asked(), silent).outcome, compared(asked(), silent).failure) == ("failed", "contract")


def test_failures_end_the_rerun_with_their_class_and_reason() -> None:
    crashed = ExecutionFinished(attempt="a3", purpose="full", ok=False, failure="data", error="KeyError: 'x'")
    assert (compared(asked(), crashed).outcome, compared(asked(), crashed).failure) == ("failed", "data")
    refused = compared(asked(), DONE, SubmissionRejected("a3", "full", "oof.csv lacks 2 ids"))
    assert refused.failure == "contract" and "lacks 2 ids" in refused.reason
    nowhere = compared(asked(), EffectFailed("i", "ExecutionRequested", 2, "no sandbox can be made here", "a3"))
    assert "no sandbox" in nowhere.reason


def test_a_debug_execution_has_no_score_and_a_stopped_rerun_no_result() -> None:
    done = ExecutionFinished(attempt="a3", purpose="debug", ok=True, sampled=1)
    assert compared(asked(purpose="debug"), done).outcome == "ran"
    assert said(asked(), StopRequested("enough")) == [RunFinished("stopped", "enough")]


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("CV score: 0.85", 0.85),
        ("rmsle -1.5e-3 (best of 7)", -1.5e-3),
        ("5-fold cross-validation AUC = 0.91 +- 0.02", 0.91),
        ("Accuracy 1", 1.0),
        ("final loss nan", None),
        ("took 3.2 s", None),
        ("loss " + "9" * 400, None),
    ],
)
def test_a_claim_is_the_number_behind_the_word(line: str, value: float | None) -> None:
    assert claimed(f"score 77.7\n{line}" if value is not None else line) == value


def test_a_rerun_has_one_decider_and_two_performers_that_keep_silent() -> None:
    decider, *performers = cast({"runner": "sandbox", "scorer": "metrics"})
    assert decider.name == "rerun" and {p.role for p in performers} == {"runner", "scorer"}
    assert all(p.reads == () and p.answers == () and p.effects for p in performers)


@pytest.mark.anyio
async def test_a_rerun_of_a_run_that_goes_on_is_not_graded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOME_HOME", str(tmp_path))
    settings = load()
    async with connect(settings, memory=True) as c:
        table = Artifact(digest=c.artifacts.put(b"id,y\n1,2\n"), size=9)
        task = msgspec.structs.replace(TASK, train=table, test=table, answers=c.answers.put(b"id,y\n1,2\n"))
        head, graded = await c.log.head("old"), []
        program = Text.of("print(1)")
        first = [RunStarted(task, 0), StepPlanned("a1", 0, 0), CodeWritten("a1", program, program.digest)]
        for payloads in (first, [RunFinished("done")]):
            said = [CODEC.saying(event_id(ROOT, "test", head.seq + i), p) for i, p in enumerate(payloads)]
            draft = Scribe("old", CODEC, c.artifacts, "test").draft("control", "client", ROOT, said)
            head = (await c.log.append(draft, head)).head
            async with Launcher(c, settings) as launcher:
                launch = await begin(launcher, c, await recorded(c, "old", "a1"), Wanted("a1"))
                assert launch.live.state.started is not None
                graded.append(launch.live.state.started.task.answers)
        assert graded == ["", task.answers]


@pytest.mark.anyio
async def test_tables_and_predictions_of_another_store_are_taken_along(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GOME_HOME", str(tmp_path / "there"))
    program = Text.of("print(1)")
    async with connect(load(), memory=True) as there:
        train, test, oof = (Artifact(there.artifacts.put(data), len(data)) for data in (b"a", b"b", b"c"))
        task = msgspec.structs.replace(TASK, train=train, test=test, answers="sha256-" + "2" * 64)
        payloads = [
            RunStarted(task, 7),
            StepPlanned("a1", 0, 0),
            CodeWritten("a1", program, program.digest),
            SubmissionScored("a1", "full", 2.0, se=0.1, partition=3, outputs={"oof.csv": oof}),
            RunFinished("done"),
        ]
        said = [CODEC.saying(event_id(ROOT, "test", i), p) for i, p in enumerate(payloads)]
        draft = Scribe("old", CODEC, there.artifacts, "test").draft("control", "client", ROOT, said)
        await there.log.append(draft, await there.log.head("old"))
        monkeypatch.setenv("GOME_HOME", str(tmp_path / "here"))
        async with connect(load(), memory=True) as here, Launcher(here, load()) as launcher:
            launch = await begin(launcher, there, await recorded(there, "old", "a1"), Wanted("a1"))
            assert all(here.artifacts.has(file.digest) for file in (train, test, oof))
            request, started = launch.live.state.trajectory.rerun, launch.live.state.started
            assert request is not None and started is not None and started.task.answers == ""
            assert (request.oof, request.basis, request.partition) == (oof, "rows", 3)
            assert (request.recorded, request.folds_seed) == (2.0, 7)
