"""Programs asked of a scripted model: patches, whole files, what is sent back, duplicates, refusals, reviews."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import structlog

from gome.events import (
    CodeRejected,
    CodeRequested,
    CodeReviewed,
    CodeWritten,
    CompletionFailed,
    CompletionRequested,
    DataProfiled,
    Draw,
    Event,
    ExecutionFinished,
    Hypothesis,
    HypothesisProposed,
    Intent,
    Payload,
    ReviewRequested,
    RunStarted,
    StepPlanned,
    Text,
    Trajectory,
)
from gome.kernel.plugin import Context
from gome.kernel.testing import MemoryArtifacts
from gome.plugins.mutator.llm import plugin
from gome.plugins.mutator.llm.review import Review, problem_of
from tests.plugins.driver import artifact
from tests.plugins.mutator.llm.desk import FINE, Model, make_task
from tests.plugins.mutator.llm.programs import broken_syntax, fenced, reference

pytestmark = pytest.mark.anyio
GOOD = reference("regression")
LONG = GOOD + "#\n" * 40
PATCH = json.dumps({"edits": [{"find": "np.eye(X.shape[1])", "replace": "9 * np.eye(X.shape[1])"}]})
PATCHED = GOOD.replace("np.eye(X.shape[1])", "9 * np.eye(X.shape[1])")
BAD_PATCH = json.dumps({"edits": [{"find": "no such line", "replace": ""}]})
DOWN = CompletionFailed("code", "auth", "the key is wrong", fatal=True)


def asking(model: Model, history: Sequence[Payload] = (), **settings: dict[str, Any]) -> Context:
    """What `perform` is handed for attempt a2, which builds on a1 and was planned after `history`."""
    store = MemoryArtifacts()
    started = RunStarted(
        task=make_task(store, "regression", 80),  # type: ignore[arg-type]
        seed=1,
        roles={"runner": "sandbox"},
        settings={"completion": {"model": "m", "repairs": 1}, **settings},
    )
    trajectory = Trajectory()
    profiled = DataProfiled(artifact("folds"), artifact("sample"), 5, 8, {"missing": {"share": 0.1}})
    usual = [StepPlanned("a1", 0, 1), code("a1", GOOD), StepPlanned("a2", 0, 2, parent="a1")]
    for n, payload in enumerate((started, profiled, *usual, HypothesisProposed("a2", Hypothesis("x", "y")), *history)):
        trajectory.apply(Event(id=f"e{n}", type=type(payload).__name__, seq=n + 1, ts=0.0, payload=payload))

    async def call(intent: Intent) -> Payload:
        assert isinstance(intent, CompletionRequested)
        return model.next(intent)

    return Context(
        run="r",
        intent=Event(id="i", type="CodeRequested", seq=9, ts=0.0, payload=write()),
        attempt=1,
        started=started,
        trajectory=trajectory,
        settings=settings.get("llm", {}),
        artifacts=store,
        workdir=Path("/nowhere"),
        home=Path("/nowhere"),
        draw=Draw(1, "i"),
        call=call,
        cancelled=lambda: False,
        log=structlog.get_logger(),
    )


def code(attempt: str, text: str) -> CodeWritten:
    return CodeWritten(attempt, Text.of(text), Text.of(text).digest)


async def answer(asked: Intent, ctx: Context) -> Payload:
    assert plugin.perform is not None
    said = await plugin.perform(Event(id="i", type=type(asked).__name__, seq=9, ts=0.0, payload=asked), ctx)
    assert isinstance(said, Payload)
    return said


def write(program: str = "", **fields: Any) -> CodeRequested:
    return CodeRequested(**{"attempt": "a2", "purpose": "write", "program": Text.of(program), **fields})


def user(asked: CompletionRequested) -> str:
    return str(asked.messages[1].content)


async def test_a_program_is_written_whole_where_there_is_none() -> None:
    model = Model(code=[fenced(PATCHED)])
    said = await answer(write(), asking(model, llm={"repairs": 2, "review": False}))
    assert said == CodeWritten("a2", Text.of(PATCHED), Text.of(PATCHED).digest, repairs=2, review=False)
    (asked,) = model.asked
    assert (asked.role, asked.schema, asked.attempt) == ("developer", {}, "a2")
    assert "Write a program for the idea" in user(asked)


@pytest.mark.parametrize(
    ("edit", "program", "patched"),
    [
        ("auto", GOOD, False),
        ("auto", GOOD + "#\n" * 40, True),
        ("patch", GOOD, True),
        ("whole", GOOD + "#\n" * 40, False),
    ],
)
async def test_the_setting_says_whether_a_program_is_patched(edit: str, program: str, patched: bool) -> None:
    model = Model(code=[PATCH if patched else fenced(PATCHED)])
    said = await answer(write(program), asking(model, llm={"edit": edit}))
    assert isinstance(said, CodeWritten), said
    assert str(said.program).startswith(PATCHED)
    assert bool(model.asked[0].schema) is patched


async def test_a_patch_that_does_not_apply_is_sent_back_and_then_the_whole_file_is_asked_for() -> None:
    model = Model(code=[BAD_PATCH, BAD_PATCH, fenced(PATCHED)])
    said = await answer(write(GOOD), asking(model, llm={"edit": "patch"}))
    assert isinstance(said, CodeWritten) and str(said.program) == PATCHED
    assert [bool(asked.schema) for asked in model.asked] == [True, True, False]
    assert "does not occur in the program" in user(model.asked[1])
    assert "whole program in one fenced" in user(model.asked[2])


async def test_words_instead_of_a_program_are_no_program_to_mend() -> None:
    model = Model(code=["First, let us think about folds.", fenced(PATCHED)])
    said = await answer(write(GOOD), asking(model))
    assert isinstance(said, CodeWritten) and model.names() == ["code", "code"]
    assert GOOD.strip() in user(model.asked[1]) and "holds no fenced block" in user(model.asked[1])


async def test_a_bare_program_needs_no_fence() -> None:
    said = await answer(write(), asking(Model(code=[PATCHED])))
    assert isinstance(said, CodeWritten) and str(said.program) == PATCHED


async def test_a_reply_that_is_no_patch_is_followed_by_the_whole_file() -> None:
    model = Model(code=["no JSON", "still none", fenced(PATCHED)])
    said = await answer(write(GOOD), asking(model, llm={"edit": "patch"}))
    assert isinstance(said, CodeWritten) and [bool(asked.schema) for asked in model.asked] == [True, True, False]


async def test_a_program_that_does_not_compile_is_mended_before_anything_runs() -> None:
    broken = broken_syntax(GOOD)
    mended = json.dumps({"edits": [{"find": "def matrices(rows, *others)", "replace": "def matrices(rows, *others):"}]})
    model = Model(code=[fenced(broken)], repair=[mended])
    said = await answer(write(), asking(model, [], llm={"edit": "patch"}))
    assert isinstance(said, CodeRejected) and said.reason.startswith("duplicate of a1"), "the mended one is a1's"
    assert "it does not compile" in user(model.asked[1]) and broken.strip() in user(model.asked[1])


async def test_a_repair_shows_the_fault_and_those_of_earlier_versions() -> None:
    first, second = GOOD + "# 1\n", GOOD + "# 2\n"
    faults = ["The debug execution failed: data.\n\nx\nKeyError: 'q'\n\nEnd of stderr:\nnoise", "numeric: NaN"]
    repairs = [write(t, purpose="repair", problem=p) for t, p in zip((first, second), faults, strict=True)]
    history = [code("a2", first), repairs[0], code("a2", second), repairs[1]]
    model = Model(repair=[fenced(PATCHED)])
    wanted = write(second, purpose="repair", problem="numeric: NaN", rewrite=2)
    said = await answer(wanted, asking(model, history, llm={"edit": "whole"}))
    assert isinstance(said, CodeWritten) and (said.number, said.repairs) == (2, 1)
    shown = user(model.asked[0])
    assert "numeric: NaN" in shown and "The debug execution failed: data. KeyError: 'q'\n" in shown
    assert second.strip() in shown


async def test_a_merge_shows_the_programs_of_the_other_traces() -> None:
    merge = StepPlanned("a2", 0, 3, kind="merge", parent="a1", parents=("b1",))
    history = [StepPlanned("b1", 1, 1), code("b1", "print('from another trace')\n"), merge]
    model = Model(code=[fenced(PATCHED)])
    said = await answer(write(GOOD), asking(model, history))
    assert isinstance(said, CodeWritten)
    assert "print('from another trace')" in user(model.asked[0])


async def test_a_program_that_was_written_before_is_asked_for_once_more() -> None:
    model = Model(code=[fenced(GOOD), fenced(PATCHED)])
    said = await answer(write(), asking(model))
    assert isinstance(said, CodeWritten) and str(said.program) == PATCHED
    assert "this very program was written before" in user(model.asked[1])
    model = Model(code=[fenced(GOOD)])
    assert await answer(write(), asking(model)) == CodeRejected(
        "a2", "duplicate of a1: the same program was written before"
    )
    assert len(model.asked) == 2


@pytest.mark.parametrize(
    ("model", "said"),
    [
        (Model(code=[DOWN]), "call code: the key is wrong"),
        (Model(code=["I cannot do that."]), "came in 5 answers; the last fault: the answer holds no fenced block"),
        (
            Model(code=[fenced("#" * 9000)]),
            "the last fault: the program has 9001 bytes; at most 1024 are allowed",
        ),
        (Model(code=[fenced("x = (")], repair=[fenced("x = [")]), "the last fault: it does not compile: '[' was never"),
    ],
)
async def test_what_cannot_be_had_is_a_rejection_with_its_reason(model: Model, said: str) -> None:
    rejected = await answer(write(), asking(model, llm={"program_kb": 1}))
    assert isinstance(rejected, CodeRejected) and said in rejected.reason
    assert len(model.asked) <= 5


@pytest.mark.parametrize(("share", "shown"), [("schema", False), ("sample", True)])
async def test_rows_are_read_only_where_they_may_be_shown(share: str, shown: bool) -> None:
    model = Model(code=[fenced(PATCHED)])
    await answer(write(), asking(model, completion={"model": "m", "share": share}))
    system = str(model.asked[0].messages[0].content)
    assert ("id,size,gaps,zip,state,town,y\nr00" in system) is shown


async def test_prompts_of_two_attempts_with_the_same_wish_are_equal() -> None:
    prompts = []
    for name in ("a2", "a3"):
        model = Model(code=[fenced(PATCHED)])
        await answer(write(attempt=name, sketch=Text.of("an idea")), asking(model, [StepPlanned("a3", 1, 1)]))
        prompts.append([str(m.content) for m in model.asked[0].messages])
    assert prompts[0] == prompts[1]


def review() -> ReviewRequested:
    return ReviewRequested("a2", Text.of(GOOD))


async def test_a_review_goes_to_the_judges_model_with_program_idea_and_contract() -> None:
    model = Model(review=[FINE])
    settings = {"model": "m", "judge": "strict"}
    ran = [ExecutionFinished("a2", "debug", ok=True, program=Text.of(GOOD).digest)]
    said = await answer(review(), asking(model, ran, completion=settings))
    assert said == CodeReviewed("a2", Text.of(GOOD).digest, ok=True)
    (asked,) = model.asked
    assert (asked.role, asked.model) == ("judge", "strict") and "aligned" in asked.schema["properties"]
    assert GOOD.strip() in user(asked) and "on a sample of the rows" in user(asked)
    assert "# Contract of the program" in str(asked.messages[0].content)


async def test_where_no_review_is_to_be_had_the_numbers_decide() -> None:
    said = await answer(review(), asking(Model(review=["no JSON at all"])))
    assert isinstance(said, CodeReviewed) and said.ok and said.problem.startswith("not reviewed: call review: no")


@pytest.mark.parametrize(
    ("reply", "problem"),
    [
        (Review("", True, True, True, True), ""),
        (Review("", True, True, True, True, "could be faster"), ""),
        (Review(ok=True, contract=True, implemented=True), "its out-of-fold predictions do not measure what the task"),
        (Review("", True, True, True, False, "it never stops"), "it never stops"),
        (Review("line 3 leaks", True, False, True, False), "its out-of-fold predictions do not measure what the task"),
        (Review("", True, True, True, False), "it was refused without a reason"),
        (Review(), "it does not keep to the contract of files; its out-of-fold"),
    ],
)
def test_what_a_review_does_not_say_counts_as_not_so(reply: Review, problem: str) -> None:
    said = problem_of(reply)
    assert said.startswith(problem) and bool(said) is bool(problem)
    assert not reply.observations or not said or reply.observations in said
