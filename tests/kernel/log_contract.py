"""What every event log must do, as one set of tests: memory, file and JetStream each subclass it.

A subclass gives the fixtures `log` (an empty log), `another` (a second object on the same store, None where there can
be none) and `tamper` (a coroutine that alters stored bytes or drops a record of a run, behind the log's back).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import aclosing

import msgspec
import pytest

from gome.events import CODEC, Draft, Head, NoteAdded, Origin, Sealed, Writer, event_id, seal
from gome.kernel.errors import Conflict, LogDamaged, OversizeRecord, UnknownRun, UsageError
from gome.kernel.fork import WholeLog, lineage
from gome.kernel.log import EventLog
from gome.kernel.log_memory import MemoryLog

Tamper = Callable[[str, int, str], Awaitable[None]]


def draft(run: str, answers: str, *, events: int = 3, size: int = 200, **more: object) -> Draft:
    """A draft of some notes; the same arguments give the same draft."""
    sayings = tuple(
        CODEC.saying(event_id(answers, "tester", i), NoteAdded(text="x" * size, author="tester"), cause=answers)
        for i in range(events)
    )
    values: dict[str, object] = {
        "lane": "decide",
        "role": "search",
        "writer": Writer("tester"),
        "answers": answers,
        "decider": "tester",
        "sayings": sayings,
        **more,
    }
    return Draft(run=run, **values)  # type: ignore[arg-type]


async def fill(log: EventLog, run: str, records: int, *, events: int = 3, size: int = 200) -> list[Sealed]:
    """Append some records, one after the other."""
    head = await log.head(run)
    done = []
    for _ in range(records):
        record = await log.append(draft(run, f"t{head.seq}", events=events, size=size), head)
        done.append(record)
        head = record.head
    return done


async def branch(log: EventLog, parent: str, at: Head, run: str, records: int) -> list[Sealed]:
    """Fork a run behind one of its records and append some of the fork's own."""
    say = draft(run, f"fork of {parent}", origin=Origin(parent, at.seq, at.hash))
    first_one = await log.append(say, Head(run, at.seq, at.hash, at.ts, at.active))
    return [first_one, *await fill(log, run, records - 1)]


async def everything(log: EventLog, run: str, after: Head | None = None) -> list[Sealed]:
    """All records of a run."""
    return [record async for record in log.read(run, after)]


async def first(log: EventLog, run: str, count: int, after: Head | None = None) -> list[Sealed]:
    """The first records that a follower gets."""
    found: list[Sealed] = []
    async with aclosing(log.follow(run, after)) as records:  # type: ignore[type-var]
        async for record in records:
            found.append(record)
            if len(found) == count:
                break
    return found


def assert_whole(records: list[Sealed]) -> None:
    """Gapless sequence and unbroken chain."""
    head = Head(records[0].body.run)
    for record in records:
        assert record.body.seq == head.seq + 1
        assert record.body.prev == head.hash
        assert record.body.events[0].ts >= head.ts
        head = record.head


@pytest.mark.anyio
class LogContract:
    """Inherit, and provide `log`, `another` and `tamper`."""

    async def test_what_is_appended_is_read_back_byte_for_byte(self, log: EventLog) -> None:
        done = await fill(log, "r1", 5)
        back = await everything(log, "r1")
        assert back == done
        assert_whole(back)
        assert [r.body.seq for r in back] == [1, 4, 7, 10, 13]

    async def test_a_fork_keeps_its_own_part_behind_the_record_of_its_parent(self, log: EventLog) -> None:
        parent = await fill(log, "r1", 5)
        own = await branch(log, "r1", parent[2].head, "r2", 3)
        assert await everything(log, "r2") == own and own[0].body.seq == parent[2].last + 1
        assert await log.head("r2") == own[-1].head
        assert await first(log, "r2", 3) == own
        assert (await log.sizes())["r2"] == 3
        assert await everything(log, "r1") == parent
        whole = WholeLog(log)
        assert await everything(whole, "r2") == [*parent[:3], *own]
        assert await everything(whole, "r2", parent[1].head) == [parent[2], *own]
        assert await everything(whole, "r2", own[0].head) == own[1:]
        assert [r.hash for r in await first(whole, "r2", 6)] == [r.hash for r in (*parent[:3], *own)]

    async def test_a_fork_of_a_fork_is_read_from_the_oldest_ancestor(self, log: EventLog) -> None:
        whole = WholeLog(log)
        parent = await fill(log, "r1", 4)
        child = await branch(whole, "r1", parent[2].head, "r2", 3)
        late = await branch(whole, "r2", child[1].head, "late", 2)
        early = await branch(whole, "r2", parent[1].head, "early", 1)
        assert await everything(whole, "late") == [*parent[:3], *child[:2], *late]
        assert await everything(whole, "early") == [*parent[:2], *early]
        assert await lineage(whole, "late") == [("r1", parent[2].last), ("r2", child[1].last), ("late", None)]
        assert await lineage(whole, "early") == [("r1", parent[1].last), ("early", None)]
        assert await lineage(log, "r1") == [("r1", None)]

    async def test_a_fork_of_another_record_than_its_parents_is_damaged(self, log: EventLog) -> None:
        parent = await fill(log, "r1", 3)
        at = parent[1].head
        await branch(log, "r1", msgspec.structs.replace(at, hash="0" * 64), "r2", 1)
        await branch(log, "gone", at, "r3", 1)
        with pytest.raises(LogDamaged, match="run r2 was forked from run r1 at event 6, which has another record"):
            await everything(WholeLog(log), "r2")
        with pytest.raises(LogDamaged, match="run gone at event 6, which is not there"):
            await everything(WholeLog(log), "r3")

    async def test_reading_goes_on_after_a_known_head(self, log: EventLog) -> None:
        done = await fill(log, "r1", 5)
        assert await everything(log, "r1", done[2].head) == done[3:]
        assert await everything(log, "r1", done[4].head) == []

    async def test_the_head_is_where_the_next_append_goes(self, log: EventLog) -> None:
        assert await log.head("r1") == Head("r1")
        done = await fill(log, "r1", 2)
        assert await log.head("r1") == done[-1].head
        assert done[-1].head.seq == 6
        assert done[-1].head.revision > done[0].head.revision > 0

    async def test_an_append_on_an_old_head_is_refused_and_names_the_new_one(self, log: EventLog) -> None:
        done = await fill(log, "r1", 2)
        with pytest.raises(Conflict) as caught:
            await log.append(draft("r1", "other"), done[0].head)
        assert caught.value.head == done[1].head
        assert await everything(log, "r1") == done

    async def test_a_landed_append_tried_again_returns_the_same_record(self, log: EventLog) -> None:
        say = draft("r1", "a")
        once = await log.append(say, Head("r1"))
        assert await log.append(say, Head("r1")) == once
        await fill(log, "r1", 3)
        assert await log.append(say, Head("r1")) == once
        assert len(await everything(log, "r1")) == 4

    async def test_a_draft_that_is_in_the_log_is_not_stored_again_on_a_newer_head(self, log: EventLog) -> None:
        once = await log.append(draft("r1", "a"), Head("r1"))
        await fill(log, "r1", 2)
        assert await log.append(draft("r1", "a"), await log.head("r1")) == once
        assert len(await everything(log, "r1")) == 3

    async def test_of_fifty_racing_writers_exactly_one_wins(self, log: EventLog, another: EventLog | None) -> None:
        head = (await fill(log, "r1", 1))[0].head
        logs = [log, another or log]

        async def write(i: int) -> Sealed | Conflict:
            try:
                return await logs[i % 2].append(draft("r1", f"w{i}"), head)
            except Conflict as conflict:
                return conflict

        outcomes = await asyncio.gather(*[write(i) for i in range(50)])
        winners = [o for o in outcomes if isinstance(o, Sealed)]
        assert len(winners) == 1
        assert all(o.head == winners[0].head for o in outcomes if isinstance(o, Conflict))
        assert len(await everything(log, "r1")) == 2

    async def test_losers_that_seal_again_on_the_new_head_all_get_in(
        self, log: EventLog, another: EventLog | None
    ) -> None:
        logs = [log, another or log]

        async def write(i: int) -> None:
            head = Head("r1")
            while True:
                try:
                    await logs[i % 2].append(draft("r1", f"w{i}", events=1 + i % 3), head)
                    return
                except Conflict as conflict:
                    head = conflict.head

        await asyncio.gather(*[write(i) for i in range(20)])
        records = await everything(log, "r1")
        assert_whole(records)
        assert sorted(r.body.answers for r in records) == sorted(f"w{i}" for i in range(20))

    async def test_records_that_were_sealed_elsewhere_are_taken_over_byte_for_byte(self, log: EventLog) -> None:
        elsewhere = MemoryLog(clock=lambda: 1000.0)
        there = await fill(elsewhere, "r1", 4)
        head = Head("r1")
        for record in there:
            taken = await log.adopt(record, head)
            head = taken.head
            assert (taken.stored, taken.hash, head.seq) == (record.stored, record.hash, record.last)
        assert [r.stored for r in await everything(log, "r1")] == [r.stored for r in there]
        assert await log.head("r1") == head
        after = await log.append(draft("r1", "next"), head)
        assert after.body.prev == there[-1].hash

    async def test_a_record_is_taken_over_once_and_only_where_it_belongs(self, log: EventLog) -> None:
        one, two, three = await fill(MemoryLog(clock=lambda: 1000.0), "r1", 3)
        (other,) = await fill(MemoryLog(clock=lambda: 2000.0), "r1", 1)
        first = await log.adopt(one, Head("r1"))
        assert await log.adopt(one, Head("r1")) == first
        with pytest.raises(LogDamaged, match="expected 4"):
            await log.adopt(three, first.head)
        with pytest.raises(Conflict):
            await log.adopt(other, Head("r1"))
        second = await log.adopt(two, first.head)
        assert await log.adopt(two, first.head) == second
        assert [r.stored for r in await everything(log, "r1")] == [one.stored, two.stored]
        with pytest.raises(UsageError):
            await log.adopt(one, Head("a.b"))

    async def test_runs_do_not_see_each_other(self, log: EventLog) -> None:
        await asyncio.gather(*[fill(log, f"r{i}", 3) for i in range(5)])
        for i in range(5):
            records = await everything(log, f"r{i}")
            assert_whole(records)
            assert {r.body.run for r in records} == {f"r{i}"}
        assert await log.runs() == [f"r{i}" for i in range(5)]

    async def test_a_run_whose_name_begins_like_another_is_another(self, log: EventLog) -> None:
        await fill(log, "r1", 1)
        await fill(log, "r11", 2)
        assert len(await everything(log, "r1")) == 1
        assert (await log.head("r11")).seq == 6

    async def test_an_empty_log_has_no_runs_and_reading_one_is_an_error(self, log: EventLog) -> None:
        assert await log.runs() == []
        with pytest.raises(UnknownRun, match="no run nope"):
            await everything(log, "nope")

    @pytest.mark.parametrize("name", ["a.b", "a b", "", "*", ">", "../x", "ä"])
    async def test_names_that_are_no_subject_token_are_refused(self, log: EventLog, name: str) -> None:
        with pytest.raises(UsageError):
            await log.append(draft(name, "a"), Head(name))
        with pytest.raises(UsageError):
            await log.head(name)
        with pytest.raises(UsageError):
            await log.append(draft("r1", "a", role=name), Head("r1"))

    async def test_a_follower_gets_what_was_there_and_what_comes(self, log: EventLog) -> None:
        done = await fill(log, "r1", 3)
        got: asyncio.Queue[Sealed] = asyncio.Queue()

        async def follow() -> None:
            async for record in log.follow("r1"):
                got.put_nowait(record)

        follower = asyncio.create_task(follow())
        try:
            assert [await asyncio.wait_for(got.get(), 10) for _ in range(3)] == done
            more = await fill(log, "r1", 20)
            assert [await asyncio.wait_for(got.get(), 10) for _ in range(20)] == more
        finally:
            follower.cancel()
            await asyncio.gather(follower, return_exceptions=True)

    async def test_a_follower_who_writes_too_gets_what_others_write_and_nothing_twice(
        self, log: EventLog, another: EventLog | None
    ) -> None:
        folded: list[Sealed] = []

        def head() -> Head:
            return folded[-1].head if folded else Head("r1")

        async def write(count: int) -> None:
            for i in range(count):
                folded.append(await log.append(draft("r1", f"own{len(folded)}-{i}"), head()))

        async def follow() -> None:
            async for record in log.follow("r1", None, head):
                if record.body.seq > head().seq:
                    folded.append(record)

        await write(3)
        follower = asyncio.create_task(follow())
        try:
            for turn in range(4):
                await write(5)
                other = another or log
                strange = await other.append(draft("r1", f"strange{turn}"), head())
                async with asyncio.timeout(10):
                    while head().seq < strange.body.seq:
                        await asyncio.sleep(0)
            assert folded == await everything(log, "r1")
        finally:
            follower.cancel()
            await asyncio.gather(follower, return_exceptions=True)

    async def test_a_follower_of_a_run_that_does_not_exist_yet_waits_for_it(self, log: EventLog) -> None:
        follower = asyncio.create_task(first(log, "later", 2))
        await fill(log, "other", 1)
        done = await fill(log, "later", 2)
        assert await asyncio.wait_for(follower, 10) == done

    async def test_late_and_early_followers_in_two_processes_see_the_same(
        self, log: EventLog, another: EventLog | None
    ) -> None:
        early = [asyncio.create_task(first(one, "r1", 60)) for one in (log, another or log)]
        writing = asyncio.create_task(fill(log, "r1", 60))
        head = (await first(log, "r1", 10))[-1].head
        late = asyncio.create_task(first(log, "r1", 50, head))
        done = await writing
        for task in early:
            assert await asyncio.wait_for(task, 20) == done
        assert await asyncio.wait_for(late, 20) == done[10:]

    async def test_followers_end_when_the_log_is_closed(self, log: EventLog) -> None:
        await fill(log, "r1", 1)
        caught_up = asyncio.Event()

        async def follow() -> int:
            count = 0
            async for _ in log.follow("r1"):
                count += 1
                caught_up.set()
            return count

        follower = asyncio.create_task(follow())
        await asyncio.wait_for(caught_up.wait(), 10)
        await log.close()
        assert await asyncio.wait_for(follower, 10) == 1

    async def test_a_record_that_is_too_large_is_refused_and_leaves_no_trace(self, log: EventLog) -> None:
        head = (await fill(log, "r1", 1))[0].head
        with pytest.raises(OversizeRecord, match="r1"):
            await log.append(draft("r1", "big", size=400_000), head)
        assert await log.head("r1") == head
        await log.append(draft("r1", "large", events=2, size=300_000), head)
        assert len(await everything(log, "r1")) == 2

    async def test_an_altered_record_is_named_with_run_and_position(self, log: EventLog, tamper: Tamper) -> None:
        done = await fill(log, "r1", 5)
        await tamper("r1", 3, "alter")
        got = []
        with pytest.raises(LogDamaged) as caught:
            async for record in log.read("r1"):
                got.append(record)
        assert got == done[:2]
        assert (caught.value.run, caught.value.position) == ("r1", 7)
        assert "r1" in str(caught.value) and "7" in str(caught.value)

    async def test_a_scan_yields_the_records_of_many_runs_each_behind_its_head(self, log: EventLog) -> None:
        kept: dict[str, list[Sealed]] = {run: [] for run in ("one", "two", "three", "four")}
        for n in range(4):
            for run in kept:
                if (run, n) != ("two", 3):
                    kept[run] += await fill(log, run, 1, events=1 + n % 2)
        heads = {"one": Head("one"), "two": kept["two"][-1].head, "three": kept["three"][1].head}
        found = [record async for record in log.scan(heads)]
        for run, behind in (("one", 0), ("two", 3), ("three", 2), ("four", 4)):
            assert [r for r in found if r.body.run == run] == kept[run][behind:]
        assert [record async for record in log.scan({})] == []

    async def test_a_scan_names_run_and_position_of_damage(self, log: EventLog, tamper: Tamper) -> None:
        for run in ("two", "one"):
            await fill(log, run, 3)
        await tamper("two", 2, "drop")
        with pytest.raises(LogDamaged, match="two") as caught:
            [record async for record in log.scan({"one": Head("one"), "two": Head("two")})]
        assert (caught.value.run, caught.value.position) == ("two", 4)

    async def test_a_scan_behind_a_head_of_another_log_is_refused(self, log: EventLog) -> None:
        head = (await fill(log, "one", 2))[0].head
        await fill(log, "two", 2)
        other = msgspec.structs.replace(head, hash="0" * 64)
        with pytest.raises(LogDamaged):
            [record async for record in log.scan({"one": other, "two": Head("two")})]

    async def test_a_missing_record_is_a_gap_named_with_run_and_position(self, log: EventLog, tamper: Tamper) -> None:
        await fill(log, "r1", 5)
        await tamper("r1", 2, "drop")
        with pytest.raises(LogDamaged) as caught:
            await everything(log, "r1")
        assert (caught.value.run, caught.value.position) == ("r1", 4)

    async def test_an_altered_last_record_is_found_when_the_head_is_asked_for(
        self, log: EventLog, tamper: Tamper
    ) -> None:
        await fill(log, "r1", 3)
        await tamper("r1", 3, "alter")
        with pytest.raises(LogDamaged) as caught:
            await log.head("r1")
            await everything(log, "r1")
        assert (caught.value.run, caught.value.position) == ("r1", 7)

    async def test_a_log_that_ends_before_a_head_that_was_seen_has_lost_records(self, log: EventLog) -> None:
        done = await fill(log, "r1", 2)
        ahead = seal(draft("r1", "lost"), done[-1].head, 1.0).head
        with pytest.raises(LogDamaged, match="had been reached"):
            await everything(log, "r1", ahead)

    async def test_a_long_run_is_read_in_several_pieces(self, log: EventLog) -> None:
        done = await fill(log, "r1", 40, events=1, size=300_000)
        assert [r.hash for r in await everything(log, "r1")] == [r.hash for r in done]
