"""Virtual slots: never more at once than there are, first come first served, and the same order every time."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gome.kernel.errors import UsageError
from gome.plugins.bench.world.clock import Agenda

works = st.lists(st.tuples(st.floats(0, 50), st.floats(0.001, 20)), max_size=25)
"""When work comes (seconds after the one before it) and how long it takes."""


def played(slots: int, work: list[tuple[float, float]]) -> list[tuple[str, float, float]]:
    """Let work arrive and run; what ran from when to when, in the order of its ends."""
    agenda, begun, ended, now = Agenda(slots), {}, [], 0.0
    arrivals, at = {}, 0.0
    for number, (gap, seconds) in enumerate(work):
        at += gap
        arrivals[f"w{number}"] = seconds
        agenda.at(f"arrival of w{number}", at)
    while (due := agenda.next()) is not None:
        now, name = due
        if name.startswith("arrival"):
            agenda.queue(name.rpartition(" ")[2])
        else:
            ended.append((name, begun[name], now))
        for next_ in agenda.startable():
            begun[next_] = now
            agenda.start(next_, now, arrivals[next_])
    return ended


@given(st.integers(1, 4), works)
def test_no_more_runs_at_once_than_there_are_slots_and_everything_ends(
    slots: int, work: list[tuple[float, float]]
) -> None:
    ended = played(slots, work)
    assert sorted(name for name, _, _ in ended) == sorted(f"w{n}" for n in range(len(work)))
    for _, begin, _ in ended:
        assert sum(b <= begin < e for _, b, e in ended) <= slots
    assert [e for _, _, e in ended] == sorted(e for _, _, e in ended)


@given(st.integers(1, 4), works)
def test_the_first_to_come_is_the_first_to_begin(slots: int, work: list[tuple[float, float]]) -> None:
    begins = [begin for _, begin in sorted((int(name[1:]), begin) for name, begin, _ in played(slots, work))]
    assert begins == sorted(begins)


@given(st.integers(1, 4), works)
def test_the_same_work_goes_the_same_way_twice(slots: int, work: list[tuple[float, float]]) -> None:
    assert played(slots, work) == played(slots, work)


def test_work_that_is_called_off_gives_its_slot_back_or_leaves_the_line() -> None:
    agenda = Agenda(1)
    for name in ("a", "b", "c"):
        agenda.queue(name)
    agenda.start("a", 0.0, 5.0)
    assert agenda.startable() == []
    agenda.drop("a")
    agenda.drop("b")
    assert agenda.startable() == ["c"]
    agenda.start("c", 1.0, 2.0)
    assert agenda.next() == (3.0, "c")
    assert agenda.next() is None


def test_a_world_without_slots_is_refused() -> None:
    with pytest.raises(UsageError, match="at least one"):
        Agenda(0)
