"""Calls to language models, counted by name."""

from __future__ import annotations

from gome.events import (
    CompletionFailed,
    CompletionReceived,
    CompletionRequested,
    Cost,
    EffectCancelled,
    Event,
    Payload,
    Text,
    result_id,
)
from gome.kernel.calls import Calls


def run(*said: tuple[str, str, Payload, Cost | None]) -> Calls:
    """Events as (id, cause, payload, cost)."""
    found = Calls()
    for seq, (id, cause, payload, cost) in enumerate(said, 1):
        found.apply(Event(id, type(payload).__name__, seq, 0.0, payload, cause=cause, cost=cost))
    return found


def asked(name: str) -> CompletionRequested:
    return CompletionRequested(name=name, model="m", messages=())


def received(name: str, finish: str = "stop") -> CompletionReceived:
    return CompletionReceived(name, Text.of("x"), "m-served", "d", finish=finish, mode="schema")


def test_answers_repeats_cuts_and_failures_are_counted_by_name() -> None:
    calls = run(
        ("i1", "p1", asked("code"), None),
        (result_id("i1"), "i1", received("code", "length"), Cost(2.0, tokens_in=10, tokens_out=5, money=0.5)),
        ("i2", "p1", asked("code"), None),
        (result_id("i2"), "i2", received("code"), Cost(4.0, tokens_in=20, tokens_out=5, money=0.25)),
        ("i3", "p2", asked("code"), None),
        (result_id("i3"), "i3", CompletionFailed("code", "rate", "slow down"), None),
        ("i4", "p3", asked("sketch"), None),
        (result_id("i4"), "i4", EffectCancelled("i4", "CompletionRequested", "stopped"), None),
    )
    code, sketch = calls.rows()
    assert (code.name, code.asked, code.answered, code.again, code.cut) == ("code", 3, 2, 1, 1)
    assert code.failures == {"rate": 1} and sketch.failures == {"cancelled": 1}
    assert (code.tokens_in, code.tokens_out, code.money, code.seconds, code.wait) == (30, 10, 0.75, 6.0, 3.0)
    assert code.models == ("m-served",) and code.modes == ("schema",)


def test_one_unknown_price_makes_the_sum_unknown() -> None:
    calls = run(
        ("i1", "p1", asked("code"), None),
        (result_id("i1"), "i1", received("code"), Cost(money=None)),
        ("i2", "p2", asked("code"), None),
        (result_id("i2"), "i2", received("code"), Cost(money=0.25)),
    )
    assert calls.rows()[0].money is None


def test_notes_about_an_attempt_are_no_result() -> None:
    calls = run(("i1", "p1", asked("code"), None), ("other", "i1", received("code"), None))
    assert calls.rows()[0].answered == 0
