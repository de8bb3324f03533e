"""The work queue on JetStream, in the server's memory: a stream that every worker of a role pulls from.

The contract is `gome.kernel.queue`. A server that starts anew has forgotten the stream; that is noticed, the stream is
made again, and `lost` is set.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Coroutine, Sequence
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Struct

from gome.kernel.answers import IN_PROCESS, ApiError, Message, Unanswered, parse
from gome.kernel.errors import Forbidden, LogUnreachable
from gome.kernel.log_checks import check_name
from gome.kernel.queue import REMEMBERED, Slots, WorkItem

if TYPE_CHECKING:
    from gome.kernel.jetstream import Connection, Subscription

_EXPIRES = 2.0
"""Seconds that a request for an item waits at the server, and that a puller needs at most to come to its end."""
_CONFIRMED = 2.0
_ABSENT = 0.5
"""Seconds until a worker looks again for a stream or consumer that it may not make itself."""
_GONE = (10014, 10059)
"""Error codes: consumer not found, stream not found."""
_OTHER = 10148
"""Error code: there is a consumer of this name with another configuration."""


class _Hint(Struct):
    run: str
    intent: str
    tenant: str = ""


class WorkQueue:
    """The work queue on JetStream: stream `stream` in memory, subjects `<prefix>.<role>.<kind>`, one durable consumer
    per role. Whoever publishes or pulls first makes both; a worker that may not waits for a publisher to do so.

    `ack_wait` is the length of a lease in seconds, `max_ack_pending` how many items of one role may be on lease among
    all workers; with `joins` they hold only where nobody has said otherwise, as is right for a worker. Closing it
    releases the connection.
    """

    def __init__(
        self,
        connection: Connection,
        *,
        stream: str = "GOME_WORK",
        prefix: str = "gome.work",
        ack_wait: float = 30.0,
        max_ack_pending: int = 1000,
        joins: bool = False,
    ) -> None:
        self.lost = asyncio.Event()
        self.lease = ack_wait
        self._connection = connection
        self._stream = check_name("stream name", stream)
        self._prefix = prefix
        self._joins = joins
        self._max_ack_pending = max_ack_pending
        self._created = ""
        self._consumers: set[str] = set()
        self._makes = True
        self._preparing = asyncio.Lock()
        self._closed = False
        self._tasks: set[asyncio.Task[Any]] = set()
        self._returning: set[asyncio.Task[Any]] = set()
        connection.retain()
        connection.on_return(self._returned)

    async def publish(self, role: str, kind: str, run: str, intent: str, tenant: str = "") -> None:
        """See `Queue.publish`. Raises `LogUnreachable`."""
        subject = f"{self._prefix}.{check_name('role', role)}.{check_name('kind', kind)}"
        payload = msgspec.json.encode(_Hint(run, intent, tenant))
        loop = asyncio.get_running_loop()
        until = loop.time() + self._connection.patience
        headers = {"Nats-Msg-Id": f"{tenant}.{run}.{intent}"}
        while True:
            try:
                await self._prepare(role)
                parse(await self._connection.request(subject, payload, headers))
                return
            except Unanswered:
                # Publishing it twice is the same as once.
                if loop.time() >= until:
                    raise
            except ApiError as error:
                if error.code == IN_PROCESS and headers:
                    # A hint that lies there twice costs a look at the log, one that is missing a run its worker.
                    headers = {}
                    continue
                if error.status != 503 or loop.time() >= until:
                    raise LogUnreachable(f"the work queue at {self._connection.where} refuses: {error}") from error
                # Nobody listens on the subject: the server started anew, without the stream.
                await self._forget()
                await asyncio.sleep(0.02)

    async def pull(
        self, roles: Sequence[str], n: int, stop: asyncio.Event | None = None
    ) -> AsyncGenerator[WorkItem, None]:
        """See `Queue.pull`."""
        slots = Slots(n)
        stop = stop or asyncio.Event()
        ready: asyncio.Queue[WorkItem | BaseException] = asyncio.Queue()
        tasks = [self._spawn(self._pull(check_name("role", role), slots, ready, stop)) for role in roles]
        tasks.append(self._spawn(self._end(tasks[:], slots, ready, stop)))
        try:
            while True:
                item = await ready.get()
                if isinstance(item, asyncio.CancelledError):
                    return
                if isinstance(item, BaseException):
                    raise item
                if stop.is_set():
                    self._return(item.nak())
                    continue
                yield item
        finally:
            for task in tasks:
                task.cancel()
            while not ready.empty():
                if isinstance(item := ready.get_nowait(), WorkItem):
                    self._return(item.nak())

    async def close(self) -> None:
        """See `Queue.close`."""
        if not self._closed:
            self._closed = True
            for task in list(self._tasks):
                task.cancel()
            await asyncio.gather(*self._tasks, *self._returning, return_exceptions=True)
            await self._connection.release()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _return(self, answer: Coroutine[Any, Any, None]) -> None:
        """Have an item given back, also when the queue is closed meanwhile."""
        task = asyncio.create_task(answer)
        self._returning.add(task)
        task.add_done_callback(self._returning.discard)

    async def _end(
        self,
        pulling: Sequence[asyncio.Task[None]],
        slots: Slots,
        ready: asyncio.Queue[WorkItem | BaseException],
        stop: asyncio.Event,
    ) -> None:
        """Once `stop` is set, end the iterator when the pullers have ended."""
        await stop.wait()
        await slots.close()
        await asyncio.gather(*pulling, return_exceptions=True)
        ready.put_nowait(asyncio.CancelledError())

    async def _pull(
        self, role: str, slots: Slots, ready: asyncio.Queue[WorkItem | BaseException], stop: asyncio.Event
    ) -> None:
        """Ask for one item of a role after the other while slots are free and nobody says stop. A request that is
        under way is waited for: an item that comes when nobody listens would be lost until its lease has run out."""
        request = msgspec.json.encode({"batch": 1, "expires": int(_EXPIRES * 1e9)})
        subject = f"$JS.API.CONSUMER.MSG.NEXT.{self._stream}.{role}"
        arrived: asyncio.Queue[Any] = asyncio.Queue()
        subscription: Subscription | None = None

        def receive(message: Message) -> None:
            arrived.put_nowait(message)

        def again() -> None:
            arrived.put_nowait(None)

        try:
            while True:
                await slots.some()
                if stop.is_set():
                    return
                try:
                    await self._prepare(role)
                    if role not in self._consumers:
                        await asyncio.sleep(_ABSENT)
                        continue
                    first = subscription is None
                    if subscription is None:
                        # What is pulled keeps its subject, so it cannot share the inbox of other answers.
                        inbox = self._connection.new_inbox()
                        subscription = await self._connection.subscribe(inbox, receive, again)
                    if arrived.empty():
                        await self._connection.send(subject, request, reply=inbox, confirm=first)
                except Forbidden:
                    raise
                except LogUnreachable:
                    if self._connection.refused:
                        raise
                    await asyncio.sleep(0.1)
                    continue
                with contextlib.suppress(TimeoutError):
                    await self._take(role, await asyncio.wait_for(arrived.get(), _EXPIRES + 2), slots, ready)
        except (Exception, asyncio.CancelledError) as error:
            ready.put_nowait(error)
            if isinstance(error, asyncio.CancelledError):
                raise
        finally:
            if subscription is not None:
                await self._connection.unsubscribe(subscription)

    async def _take(
        self, role: str, message: Message | None, slots: Slots, ready: asyncio.Queue[WorkItem | BaseException]
    ) -> None:
        """Use what a request brought: an item, the news that there was none, or None after a reconnect."""
        if message is None:
            return
        status = (message.headers or {}).get("Status")
        if status in ("404", "408"):
            return
        if status is not None:
            # No such consumer any more: the server started anew, or somebody deleted it.
            await self._forget()
            await asyncio.sleep(0.05)
            return
        item = self._item(role, message, slots)
        if item is None:
            await self._answer(message.reply, b"+TERM")
        elif slots.take():
            ready.put_nowait(item)
        else:
            # Two roles brought an item for the last slot.
            await self._answer(message.reply, b"-NAK")

    def _item(self, role: str, message: Message, slots: Slots) -> WorkItem | None:
        try:
            hint = msgspec.json.decode(message.data, type=_Hint)
        except msgspec.MsgspecError:
            return None

        async def answer(what: str, delay: float) -> None:
            word = {"ack": b"+ACK", "nak": b"-NAK", "progress": b"+WPI", "term": b"+TERM"}[what]
            if delay > 0:
                word += b' {"delay": %d}' % int(delay * 1e9)
            await self._answer(message.reply, word)

        # $JS.ACK.stream.consumer.deliveries.…, with domain and account before the stream in newer servers.
        place = message.reply.split(".")
        deliveries = int(place[4] if len(place) == 9 else place[6])
        return WorkItem(
            role,
            message.subject.rpartition(".")[2],
            hint.run,
            hint.intent,
            deliveries,
            slots.leased(answer),
            hint.tenant,
        )

    async def _answer(self, reply: str, word: bytes) -> None:
        try:
            await self._connection.request(reply, word, timeout=_CONFIRMED)
        except Forbidden:
            raise
        except LogUnreachable:
            return  # the lease runs out

    def _returned(self) -> None:
        if not self._closed:
            self._spawn(self._look())

    async def _look(self) -> None:
        with contextlib.suppress(LogUnreachable):
            await self._forget()
            await self._prepare()

    async def _forget(self) -> None:
        """Check everything again before it is used the next time."""
        async with self._preparing:
            self._consumers.clear()

    async def _prepare(self, role: str = "") -> None:
        """Make sure that the stream and the role's consumer exist; set `lost` when the stream is not the one that was
        there before."""
        if role in self._consumers:
            return
        async with self._preparing:
            config = {
                "name": self._stream,
                "subjects": [f"{self._prefix}.*.*"],
                "storage": "memory",
                "retention": "workqueue",
                "discard": "new",
                "num_replicas": self._connection.replicas,
                "duplicate_window": int(REMEMBERED * 1e9),
            }
            try:
                try:
                    info = await self._connection.api(f"STREAM.INFO.{self._stream}")
                except ApiError as error:
                    if error.status != 404:
                        raise
                    made = await self._make(f"STREAM.CREATE.{self._stream}", config)
                    if made is None:
                        return
                    info = made
                await self._connection.widen(info)
                if info["created"] != self._created:
                    self._created = info["created"]
                    self._consumers.clear()
                    self.lost.set()
                self._consumers.add("")
                if role:
                    await self._prepare_consumer(role)
                    self._consumers.add(role)
            except ApiError as error:
                if error.code in _GONE:
                    return
                raise LogUnreachable(f"the work queue at {self._connection.where} cannot be used: {error}") from error

    async def _prepare_consumer(self, role: str) -> None:
        # In the form that names its filter, so that permissions can tell what it reads.
        call = f"CONSUMER.CREATE.{self._stream}.{role}.{self._prefix}.{role}.*"
        try:
            if await self._make(call, self._consumer(role)) is None:
                await self._connection.api(f"CONSUMER.INFO.{self._stream}.{role}")
        except ApiError as error:
            if error.code != _OTHER:
                raise

    async def _make(self, call: str, config: dict[str, Any]) -> dict[str, Any] | None:
        """Make a stream or consumer; None where our credentials do not permit it."""
        if not self._makes:
            return None
        try:
            if call.startswith("STREAM.CREATE"):
                return await self._connection.create(config)
            return await self._connection.api(call, config)
        except Forbidden:
            self._makes = False
            return None

    def _consumer(self, role: str) -> dict[str, Any]:
        return {
            "stream_name": self._stream,
            "action": "create" if self._joins else "",
            "config": {
                "name": role,
                "durable_name": role,
                "filter_subject": f"{self._prefix}.{role}.*",
                "ack_policy": "explicit",
                "deliver_policy": "all",
                "replay_policy": "instant",
                "ack_wait": int(self.lease * 1e9),
                "max_deliver": -1,
                "max_ack_pending": self._max_ack_pending,
            },
        }
