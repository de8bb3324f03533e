"""The ledger: what is spent, what open intents hold of the budget, and that both together stay within it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gome.events import (
    Budget,
    Cost,
    EffectCancelled,
    EffectFailed,
    Event,
    ExecutionFinished,
    ExecutionRequested,
    Intent,
    Ledger,
    Limits,
    Metric,
    Payload,
    Reservation,
    RunFinished,
    RunStarted,
    Task,
    Text,
    result_id,
)
from gome.events.artifact import Artifact

FILE = Artifact(digest="sha256-f", size=1, name="f")
TASK = Task("t", "regression", Metric("rmse", False), "y", "id", (), FILE, FILE, 4, 2)
LIMITS = ("executions", "execution_seconds", "completions", "tokens", "money")


class Asked(Intent, frozen=True):
    """A call of a model, as far as the budget is concerned."""

    tokens: int
    money: float

    def reserves(self) -> Reservation:
        return Reservation(completions=1, tokens=self.tokens, money=self.money)


class Replied(Payload, frozen=True):
    """Its reply."""


def run_of(seconds: float) -> ExecutionRequested:
    return ExecutionRequested("a1", "full", Text.of("pass"), {}, limits=Limits(seconds=seconds))


def ran(seconds: float) -> ExecutionFinished:
    return ExecutionFinished("a1", "full", ok=True, seconds=seconds)


class Book:
    """A ledger that is told events by what they mean."""

    def __init__(self, **budget: Any) -> None:
        self.ledger = Ledger()
        self._count = 0
        self.say(RunStarted(task=TASK, seed=1, budget=Budget(**budget)))

    def say(self, payload: Payload, *, cause: str = "", id: str = "", cost: Cost | None = None) -> str:
        self._count += 1
        id = id or f"{self._count:032}"
        event = Event(id, type(payload).__name__, self._count, float(self._count), payload, cause=cause, cost=cost)
        self.ledger.apply(event)
        return id

    def answer(self, intent: str, payload: Payload, cost: Cost | None = None) -> None:
        self.say(payload, cause=intent, id=result_id(intent), cost=cost)


def test_an_intent_reserves_and_its_result_settles() -> None:
    book = Book(executions=3, execution_seconds=100.0)
    intent = book.say(run_of(60.0))
    assert (book.ledger.spent("execution_seconds"), book.ledger.reserved("execution_seconds")) == (0.0, 60.0)
    assert (book.ledger.left("execution_seconds"), book.ledger.left("executions")) == (40.0, 2.0)
    book.answer(intent, ran(10.0))
    assert (book.ledger.executions, book.ledger.execution_seconds) == (1, 10.0)
    assert (book.ledger.left("execution_seconds"), book.ledger.reserved("executions")) == (90.0, 0.0)


@pytest.mark.parametrize(
    "end", [EffectFailed("i", "ExecutionRequested", 2, "no"), EffectCancelled("i", "ExecutionRequested", "enough")]
)
def test_what_fails_or_is_called_off_releases_its_reservation(end: Payload) -> None:
    book = Book(executions=1, execution_seconds=100.0)
    intent = book.say(run_of(100.0))
    assert not book.ledger.fits(run_of(1.0).reserves())
    book.answer(intent, end)
    assert book.ledger.fits(run_of(100.0).reserves()) and book.ledger.executions == 0


def test_other_events_about_an_intent_release_nothing() -> None:
    book = Book(execution_seconds=100.0)
    intent = book.say(run_of(100.0))
    book.say(ran(5.0), cause=intent)
    assert book.ledger.reserved("execution_seconds") == 100.0


def test_a_completion_holds_one_call_its_tokens_and_its_money() -> None:
    book = Book(completions=2, tokens=1000, money=1.0)
    intent = book.say(Asked(tokens=600, money=0.25))
    assert book.ledger.lacks(Asked(tokens=600, money=0.25).reserves()) == ("tokens", 600.0, 400.0)
    assert book.ledger.lacks(Asked(tokens=400, money=0.8).reserves()) == ("money", 0.8, 0.75)
    book.answer(intent, Replied(), Cost(tokens_in=100, tokens_out=50, money=0.05, model="m"))
    assert (book.ledger.completions, book.ledger.tokens, book.ledger.money) == (1, 150, 0.05)
    assert book.ledger.fits(Asked(tokens=850, money=0.95).reserves())


def test_a_limit_is_over_by_what_is_spent_not_by_what_is_held() -> None:
    book = Book(executions=1)
    intent = book.say(run_of(60.0))
    assert book.ledger.over() is None
    book.answer(intent, ran(1.0))
    assert book.ledger.over() == ("executions", 1.0, 1.0)


def test_nothing_is_lacking_where_nothing_is_limited() -> None:
    book = Book()
    book.say(run_of(1e9))
    assert book.ledger.left("execution_seconds") is None and book.ledger.fits(run_of(1e9).reserves())


def test_an_intent_that_does_not_say_so_reserves_nothing() -> None:
    class Plain(Intent, frozen=True):
        """An intent of a plugin that knows nothing of budgets."""

    book = Book(executions=0, money=0.0)
    book.say(Plain())
    assert book.ledger.open == {} and book.ledger.fits(Plain().reserves())


amounts = st.floats(0.0, 50.0, allow_nan=False).map(lambda x: round(x, 3))
budgets = st.fixed_dictionaries(
    {},
    optional={
        "executions": st.integers(0, 8),
        "execution_seconds": amounts,
        "completions": st.integers(0, 8),
        "tokens": st.integers(0, 200),
        "money": amounts,
    },
)
wishes = st.one_of(
    st.builds(run_of, amounts), st.builds(lambda t, m: Asked(tokens=t, money=m), st.integers(0, 50), amounts)
)
moves = st.lists(
    st.one_of(
        st.tuples(st.just("ask"), wishes),
        st.tuples(st.just("settle"), st.integers(0, 9), st.floats(0.0, 1.5)),
        st.tuples(st.just("fail"), st.integers(0, 9)),
        st.tuples(st.just("finish")),
    ),
    max_size=40,
)


def settle(book: Book, intent: str, wish: Intent, share: float) -> Reservation:
    """Answer an intent with a share of what it reserved; returns by how much each limit was overdrawn."""
    held = wish.reserves()
    if isinstance(wish, ExecutionRequested):
        seconds = held.execution_seconds * share
        book.answer(intent, ran(seconds))
        return Reservation(execution_seconds=max(0.0, seconds - held.execution_seconds))
    tokens, money = int(held.tokens * share), held.money * share
    book.answer(intent, Replied(), Cost(tokens_out=tokens, money=money, model="m"))
    return Reservation(tokens=max(0, tokens - held.tokens), money=max(0.0, money - held.money))


@settings(deadline=None)
@given(budgets, moves)
def test_over_any_history_reservations_end_at_nothing_and_spending_stays_within_the_limits(
    budget: dict[str, Any], history: list[Any]
) -> None:
    book = Book(**budget)
    ledger = book.ledger
    waiting: dict[str, Intent] = {}
    # What results have taken beyond their own reservation since something was last begun.
    beyond = dict.fromkeys(LIMITS, 0.0)
    for move in history:
        if move[0] == "ask" and ledger.fits(move[1].reserves()):
            waiting[book.say(move[1])] = move[1]
            for name in LIMITS:
                if getattr(move[1].reserves(), name):
                    beyond[name] = 0.0
        elif move[0] == "settle" and waiting:
            intent = list(waiting)[move[1] % len(waiting)]
            overdrawn = settle(book, intent, waiting.pop(intent), move[2])
            for name in LIMITS:
                beyond[name] += getattr(overdrawn, name)
        elif move[0] == "fail" and waiting:
            intent = list(waiting)[move[1] % len(waiting)]
            del waiting[intent]
            book.answer(intent, EffectFailed(intent, "x", 1, "no"))
        elif move[0] == "finish":
            book.say(RunFinished(outcome="done"))
            waiting.clear()
        for name in LIMITS:
            assert ledger.reserved(name) >= 0
            left, allowed = ledger.left(name), budget.get(name)
            assert (left is None) == (allowed is None) and (left is None or left >= 0)
            if allowed is not None:
                assert ledger.spent(name) + ledger.reserved(name) <= allowed + beyond[name] + 1e-6
        assert set(ledger.open) == {i for i, wish in waiting.items() if wish.reserves() != Reservation()}
    for intent in list(waiting):
        settle(book, intent, waiting.pop(intent), 0.0)
    assert all(ledger.reserved(name) == 0.0 for name in LIMITS)
