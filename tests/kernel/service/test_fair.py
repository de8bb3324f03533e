"""Turns of tenants: nobody waits for more than a turn of each other tenant, however much the others have waiting."""

from __future__ import annotations

import asyncio
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from gome.kernel.service.fair import Turns

NAMES = ("a", "b", "c", "d")
weights = st.dictionaries(st.sampled_from(NAMES), st.integers(1, 5), min_size=1)


def taken(turns: Turns, waiting: Counter[str], count: int) -> list[str]:
    """Who is served, one after the other, until so many are or nothing waits."""

    async def take(name: str) -> str | None:
        if waiting[name] == 0:
            return None
        waiting[name] -= 1
        return name

    async def all() -> list[str]:
        found = []
        while len(found) < count and (name := await turns.next(take)) is not None:
            found.append(name)
        return found

    return asyncio.run(all())


def test_a_tenant_with_a_thousand_runs_and_one_with_three_take_turns() -> None:
    waiting = Counter({"many": 1000, "few": 3})
    assert taken(Turns({"many": 1, "few": 1}), waiting, 8) == ["many", "few"] * 3 + ["many"] * 2


def test_a_tenant_of_twice_the_weight_begins_two_runs_per_turn() -> None:
    waiting = Counter({"a": 9, "b": 9})
    assert taken(Turns({"a": 2, "b": 1}), waiting, 6) == ["a", "a", "b", "a", "a", "b"]


@given(weights, st.lists(st.integers(0, 40), min_size=4, max_size=4))
def test_everything_that_waits_is_served_and_nothing_twice(weights: dict[str, int], amounts: list[int]) -> None:
    waiting = Counter({name: amount for name, amount in zip(NAMES, amounts, strict=True) if name in weights})
    wanted = +waiting
    assert Counter(taken(Turns(weights), waiting, 1000)) == wanted


@given(weights, st.integers(1, 30), st.sampled_from(NAMES))
def test_who_comes_late_waits_for_one_turn_of_each_other_at_most(
    weights: dict[str, int], before: int, late: str
) -> None:
    weights = {late: 1, **weights}
    turns = Turns(weights)
    waiting = Counter({name: 1000 for name in weights if name != late})
    taken(turns, waiting, before)
    waiting[late] = 1
    others = sum(weight for name, weight in weights.items() if name != late)
    assert late in taken(turns, waiting, others + 1)
