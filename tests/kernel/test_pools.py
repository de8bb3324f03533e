"""Cores and accelerators are handed out in turn, never twice at once, and never lost."""

from __future__ import annotations

import os
from collections import Counter

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gome.events import Occupancy
from gome.kernel.pools import CorePool, DevicePool, Held, occupy

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module", autouse=True)
def four_cores() -> object:
    patch = pytest.MonkeyPatch()
    patch.setattr(os, "sched_getaffinity", lambda _: {2, 3, 5, 7})
    yield
    patch.undo()


class Watched:
    """Pools with a book of who holds what, which fails at the first thing given twice."""

    def __init__(self, capacity: int, cards: tuple[str, ...]) -> None:
        self.capacity, self.cards = capacity, cards
        self.cores, self.devices = CorePool(capacity), DevicePool()
        self.out: Counter[int] = Counter()
        self.shares: Counter[str] = Counter()
        self.running = 0
        self.served: list[int] = []

    async def work(self, number: int, wish: Occupancy, turns: int) -> None:
        async with occupy(self.cores, self.devices, wish, self.cards) as held:
            self._note(held, wish, 1)
            self.served.append(number)
            try:
                for _ in range(turns):
                    await anyio.lowlevel.checkpoint()
            finally:
                self._note(held, wish, -1)

    def _note(self, held: Held, wish: Occupancy, by: int) -> None:
        assert len(set(held.cores)) == len(held.cores) == min(wish.cores, 4)
        assert (held.device is None) == (wish.accelerator == 0 or not self.cards)
        self.running += by
        self.out.update({core: by for core in held.cores})
        if held.device is not None:
            self.shares[held.device] += by * round(wish.accelerator * 20)
        assert self.running <= self.capacity
        assert max(self.out.values()) <= -(-self.capacity // 4)  # one, unless there are more programs than cores
        assert all(used <= 20 for used in self.shares.values())


wishes = st.lists(
    st.tuples(
        st.builds(Occupancy, st.integers(1, 6), st.sampled_from([0.0, 0.0, 0.05, 0.25, 0.35, 0.5, 1.0])),
        st.integers(0, 4),
        st.integers(0, 12),  # turns until it is called off; above 9 never
    ),
    max_size=24,
)


@given(wishes, st.integers(1, 9), st.sampled_from([(), ("A",), ("A", "B")]))
def test_whatever_is_wished_and_called_off_nothing_is_given_twice_and_everybody_is_served(
    asked: list[tuple[Occupancy, int, int]], capacity: int, cards: tuple[str, ...]
) -> None:
    pools = Watched(capacity, cards)

    async def one(number: int, wish: Occupancy, turns: int, patience: int) -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(pools.work, number, wish, turns)
            if patience < 10:
                for _ in range(patience):
                    await anyio.lowlevel.checkpoint()
                group.cancel_scope.cancel()

    async def everybody() -> None:
        with anyio.fail_after(3):
            async with anyio.create_task_group() as group:
                for number, (wish, turns, patience) in enumerate(asked):
                    group.start_soon(one, number, wish, turns, patience)
            # Whole again: as many as may run at once take all there is without waiting.
            with anyio.fail_after(1):
                slots = [await pools.cores.acquire(1) for _ in range(capacity)]
                whole = [await pools.devices.acquire(cards, 1.0) for _ in cards]
        assert len(slots) == capacity and {share.device for share in whole} == set(cards)

    anyio.run(everybody)
    assert {n for n, (_, _, patience) in enumerate(asked) if patience >= 10} <= set(pools.served)


async def test_several_cores_are_one_slot_and_no_more_than_there_are() -> None:
    pool = CorePool(4)
    assert await pool.acquire(3) == (2, 3, 5)
    assert await pool.acquire() == (7,)
    pool.release((7,))
    pool.release((2, 3, 5))
    assert await pool.acquire(99) == (2, 3, 5, 7)


async def test_fewer_programs_at_once_than_cores_still_get_the_cores_that_they_ask_for() -> None:
    pool = CorePool(1)
    assert await pool.acquire(4) == (2, 3, 5, 7)


async def _in_order(pool: DevicePool | CorePool, *wishes: object) -> list[str]:
    """Who gets it in which order when all of it is out while they queue up, and each gives back at once."""
    order: list[str] = []
    whole = await (pool.acquire(("A",), 1.0) if isinstance(pool, DevicePool) else pool.acquire(4))

    async def ask(wish: object) -> None:
        got = await (pool.acquire(("A",), wish) if isinstance(pool, DevicePool) else pool.acquire(wish))  # type: ignore[arg-type]
        order.append(str(wish))
        await anyio.lowlevel.checkpoint()
        pool.release(got)  # type: ignore[arg-type]

    async with anyio.create_task_group() as group:
        for wish in wishes:
            group.start_soon(ask, wish)
        await anyio.wait_all_tasks_blocked()
        pool.release(whole)  # type: ignore[arg-type]
    return order


async def test_who_wants_a_whole_card_is_not_passed_by_small_wishes() -> None:
    assert await _in_order(DevicePool(), 0.25, 1.0, 0.25, 0.25) == ["0.25", "1.0", "0.25", "0.25"]


async def test_who_comes_later_waits_behind_who_waits_already_and_goes_on_when_that_one_is_called_off() -> None:
    pool = DevicePool()
    await pool.acquire(("A",), 0.5)
    got: list[float] = []

    async def ask(share: float, scope: anyio.CancelScope) -> None:
        with scope:
            await pool.acquire(("A",), share)
            got.append(share)

    first = anyio.CancelScope()
    async with anyio.create_task_group() as group:
        group.start_soon(ask, 1.0, first)
        await anyio.wait_all_tasks_blocked()
        group.start_soon(ask, 0.25, anyio.CancelScope())
        await anyio.wait_all_tasks_blocked()
        assert got == []
        first.cancel()
    assert got == [0.25]


async def test_who_wants_many_cores_is_not_passed_by_small_wishes() -> None:
    assert await _in_order(CorePool(4), 1, 4, 1, 1) == ["1", "4", "1", "1"]


async def test_waiting_for_a_card_holds_no_core() -> None:
    pools = Watched(2, ("A",))
    card = await pools.devices.acquire(("A",), 1.0)
    async with anyio.create_task_group() as group:
        for number in range(2):
            group.start_soon(pools.work, number, Occupancy(1, 1.0), 1)
        await anyio.wait_all_tasks_blocked()
        for number in (2, 3, 4):
            with anyio.fail_after(5):
                await pools.work(number, Occupancy(2), 1)
        pools.devices.release(card)
    assert pools.served == [2, 3, 4, 0, 1]


async def test_shares_fill_one_card_so_that_another_stays_whole() -> None:
    pool = DevicePool()
    shares = [await pool.acquire(("A", "B"), 0.3) for _ in range(3)]
    assert [share.device for share in shares] == ["A", "A", "A"]
    assert (await pool.acquire(("A", "B"), 1.0)).device == "B"


async def test_thirds_and_tenths_add_to_one() -> None:
    for parts in (3, 10):
        pool = DevicePool()
        with anyio.fail_after(5):
            assert {(await pool.acquire(("A",), 1 / parts)).device for _ in range(parts)} == {"A"}


async def test_of_no_device_there_is_no_share() -> None:
    with pytest.raises(ValueError, match="0 devices"):
        await DevicePool().acquire((), 0.5)
