"""Any history of appends, retries, lost answers and restarts, on each log, against a plain list.

The model knows one thing: which drafts are in the run, in order. After every step the log must agree with it, and its
sequence must be gapless and its chain whole.
"""

from __future__ import annotations

import asyncio
import itertools
import tempfile
from collections.abc import Coroutine, Mapping
from pathlib import Path
from typing import Any, TypeVar

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, rule

from gome.events import Draft, Head, Sealed
from gome.kernel.answers import Message, Unanswered
from gome.kernel.errors import Conflict
from gome.kernel.jetstream import Connection
from gome.kernel.log import EventLog
from gome.kernel.log_file import FileLog
from gome.kernel.log_jetstream import JetStreamLog
from gome.kernel.log_memory import MemoryLog
from tests.kernel.log_contract import assert_whole, draft, everything
from tests.kernel.nats_server import NatsServer

T = TypeVar("T")
_numbers = itertools.count()


class LogMachine(RuleBasedStateMachine):
    """Histories of one run on a log in memory; subclasses open others. `drafts` are all drafts anybody ever made."""

    drafts = Bundle("drafts")

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.now = 1000.0
        self.model: list[Sealed] = []
        self.made = 0

    def wait(self, work: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(work)

    def open(self) -> EventLog:
        return MemoryLog(clock=self.clock)

    def lose_answers(self, count: int) -> None:
        """From now on, this many answers to appends get lost."""

    def clock(self) -> float:
        return self.now

    def head(self, back: int = 0) -> Head:
        known = self.model[: len(self.model) - back] if back else self.model
        return known[-1].head if known else Head("r")

    @initialize()
    def begin(self) -> None:
        self.log = self.open()

    @rule(target=drafts, events=st.integers(1, 4), size=st.integers(0, 50))
    def say_something_new(self, events: int, size: int) -> Draft:
        self.made += 1
        return draft("r", f"a{self.made}", events=events, size=size)

    def expect(self, say: Draft, head: Head, lost: int = 0) -> None:
        known = next((r for r in self.model if r.id == say.id), None)
        self.lose_answers(lost)
        try:
            record = self.wait(self.log.append(say, head))
        except Conflict as conflict:
            # A log need not look for the draft's record before the head it was to follow.
            assert known is None or known.last <= head.seq
            assert head != self.head()
            assert conflict.head == self.head()
        else:
            if known is not None:
                assert record == known
            else:
                assert head == self.head()
                self.model.append(record)
        finally:
            self.lose_answers(0)

    @rule(say=drafts)
    def append_at_the_head(self, say: Draft) -> None:
        self.expect(say, self.head())

    @rule(say=drafts, back=st.integers(1, 4))
    def append_at_an_old_head(self, say: Draft, back: int) -> None:
        self.expect(say, self.head(min(back, len(self.model))))

    @rule(say=drafts, lost=st.integers(1, 3), back=st.integers(0, 2))
    def append_without_hearing_the_answer(self, say: Draft, lost: int, back: int) -> None:
        self.expect(say, self.head(min(back, len(self.model))), lost)

    @rule(say=drafts)
    def append_by_two_at_once(self, say: Draft) -> None:
        self.made += 1
        others = draft("r", f"a{self.made}")
        head = self.head()
        outcomes = self.wait(self.both(say, others, head))
        new = [o for o in outcomes if isinstance(o, Sealed) and o not in self.model]
        assert len(new) == 1
        self.model.extend(new)

    async def both(self, one: Draft, other: Draft, head: Head) -> list[Sealed | BaseException]:
        return await asyncio.gather(self.log.append(one, head), self.log.append(other, head), return_exceptions=True)

    @rule(seconds=st.floats(-5, 50))
    def let_the_clock_move(self, seconds: float) -> None:
        self.now += seconds

    @rule()
    def open_the_log_again(self) -> None:
        if not isinstance(self.log, MemoryLog):
            self.wait(self.log.close())
            self.log = self.open()

    @rule(back=st.integers(0, 5))
    def read_from_anywhere(self, back: int) -> None:
        back = min(back, len(self.model))
        if self.model:
            after = self.head(back) if back < len(self.model) else None
            assert self.wait(everything(self.log, "r", after)) == self.model[len(self.model) - back :]

    @invariant()
    def the_log_is_the_model(self) -> None:
        if hasattr(self, "log"):
            assert self.wait(self.log.head("r")) == self.head()
            if self.model:
                records = self.wait(everything(self.log, "r"))
                assert records == self.model
                assert_whole(records)

    def teardown(self) -> None:
        if hasattr(self, "log"):
            self.wait(self.log.close())
        self.runner.close()


class FileMachine(LogMachine):
    def open(self) -> EventLog:
        if not hasattr(self, "folder"):
            self.folder = tempfile.TemporaryDirectory()
        return FileLog(Path(self.folder.name) / "a.jsonl", clock=self.clock)

    @rule(count=st.integers(1, 300))
    def tear_a_line(self, count: int) -> None:
        """A process dies while it writes."""
        if self.model:
            with (Path(self.folder.name) / "a.jsonl").open("ab") as file:
                file.write(self.model[-1].stored[:count])
            self.log = FileLog(Path(self.folder.name) / "a.jsonl", clock=self.clock)

    def teardown(self) -> None:
        super().teardown()
        if hasattr(self, "folder"):
            self.folder.cleanup()


class Forgetful(Connection):
    """A connection on which the answers to appends get lost, as many as told."""

    lose = 0

    async def request(
        self, subject: str, payload: bytes = b"", headers: Mapping[str, str] | None = None, timeout: float = 0.0
    ) -> Message:
        reply = await super().request(subject, payload, headers, timeout)
        if headers and self.lose > 0:
            self.lose -= 1
            raise Unanswered("lost for a test")
        return reply


class JetStreamMachine(LogMachine):
    server: NatsServer

    def open(self) -> EventLog:
        if not hasattr(self, "name"):
            self.name = f"model{next(_numbers)}"
        return self.wait(self.opened())

    async def opened(self) -> EventLog:
        self.connection = Forgetful(self.server.url, token=self.server.token)
        return JetStreamLog(self.connection, stream=self.name, prefix=f"{self.name}.ev", clock=self.clock)

    def lose_answers(self, count: int) -> None:
        self.connection.lose = count


TestMemoryLog = LogMachine.TestCase
TestMemoryLog.settings = settings(max_examples=60, stateful_step_count=30)
TestFileLog = FileMachine.TestCase
TestFileLog.settings = settings(max_examples=25, stateful_step_count=25)


class TestJetStreamLog(JetStreamMachine.TestCase):  # type: ignore[misc]
    settings = settings(max_examples=20, stateful_step_count=25)

    @classmethod
    def setUpClass(cls) -> None:
        cls.folder = tempfile.TemporaryDirectory()
        JetStreamMachine.server = NatsServer(Path(cls.folder.name))
        asyncio.run(JetStreamMachine.server.start())

    @classmethod
    def tearDownClass(cls) -> None:
        JetStreamMachine.server.kill()
        cls.folder.cleanup()
