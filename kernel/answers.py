"""Requests on their way to a NATS server, and what came back: every one of them ends, and says how.

The client library leaves a caller waiting when the connection breaks or a permission is missing. Here a request ends
with its answer, with silence for too long, with the connection, or with the refusal. `gome.kernel.jetstream` owns the
table and feeds it; nothing here touches a socket.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import msgspec

from gome.kernel.errors import Forbidden, GomeError, LogUnreachable

IMPORTED_API = "gome.api"
"""Prefix of the JetStream API in accounts that import single calls of it (`gome.kernel.permissions`)."""

IN_PROCESS = 10158
"""Error code: a cluster is still taking an earlier copy of the same message, or has dropped it with a leader and will
remember its id all the same, which keeps every later copy with that id out."""


def compression(servers: int) -> str:
    """How a stream is packed that so many servers hold: s2 on one, on several not at all.

    A server of a cluster that comes back after a kill may pack its last block and go on appending to it unpacked
    (nats-server 2.15.1). As soon as it reads that block ("s2: corrupt input") it is lost to its stream, or begins it
    anew with nothing; with another server away, nobody leads the stream any more."""
    return "none" if servers > 1 else "s2"


@functools.cache
def _field(name: str) -> bytes:
    """How the line of a header begins; the names that are asked for are few."""
    return f"\r\n{name}:".encode()


class Headers(Mapping[str, str]):
    """Headers of a message as they came (`NATS/1.0[ status …]`, then lines), read when one is asked for: of the seven
    that a stored record comes with, one is used. An inline status has the name `Status`."""

    __slots__ = ("_raw",)

    def __init__(self, raw: bytes) -> None:
        self._raw = raw

    def _find(self, name: str) -> str | None:
        raw = self._raw
        if name == "Status" and raw[8:9] == b" ":
            return raw[9:12].decode()
        key = _field(name)
        at = raw.find(key)
        if at < 0:
            return None
        start = at + len(key)
        return raw[start : raw.find(b"\r\n", start)].strip().decode("utf-8", "replace")

    def __getitem__(self, name: str) -> str:
        found = self._find(name)
        if found is None:
            raise KeyError(name)
        return found

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and self._find(name) is not None

    def __bool__(self) -> bool:
        return True

    def __iter__(self) -> Iterator[str]:
        first, *lines = self._raw.split(b"\r\n")
        if first[8:9] == b" ":
            yield "Status"
        for line in lines:
            name, colon, _ = line.partition(b":")
            if colon:
                yield name.decode("utf-8", "replace")

    def __len__(self) -> int:
        return sum(1 for _ in self)


class Message(NamedTuple):
    """What of a received message is used."""

    subject: str
    data: bytes
    headers: Mapping[str, str] | None
    reply: str = ""


class Unanswered(LogUnreachable):
    """A request was sent and its answer did not come: whether it took effect is unknown."""


class ApiError(GomeError):
    """JetStream refused a request. `code` is its error code (10071, …), `status` the HTTP-like class."""

    def __init__(self, code: int, status: int, description: str) -> None:
        super().__init__(description)
        self.code = code
        self.status = status


@dataclass(eq=False)
class Asked:
    """One request: the future of its last message, and, when there may be several, those before it."""

    token: str
    subject: str
    future: asyncio.Future[Any]
    parts: list[Any] | None = None
    timer: asyncio.TimerHandle | None = None
    seen: int = 0


class Waiting:
    """All requests of one connection. `where` is its address, `who` its user ("": a token); `silent` is called when
    one was not answered in time."""

    def __init__(self, where: str, silent: Callable[[], None], who: str = "") -> None:
        self._where = where
        self._who = who
        self._silent = silent
        self._counter = 0
        self._asked: dict[str, Asked] = {}

    def __len__(self) -> int:
        return len(self._asked)

    def add(self, subject: str, timeout: float, *, several: bool) -> Asked:
        """Enter a request that is about to be sent; `timeout` is the longest silence in seconds."""
        self._counter += 1
        future = asyncio.get_running_loop().create_future()
        asked = Asked(str(self._counter), subject, future, [] if several else None)
        self._asked[asked.token] = asked
        self._arm(asked, timeout)
        return asked

    def remove(self, asked: Asked) -> None:
        """Whoever asked has the answer or waits no more."""
        if asked.timer is not None:
            asked.timer.cancel()
        self._asked.pop(asked.token, None)

    def receive(self, token: str, message: Message) -> None:
        """Take in a message. Of an answer in several parts the last one carries a status."""
        asked = self._asked.get(token)
        if asked is None or asked.future.done():
            return
        if asked.parts is not None and not (message.headers and "Status" in message.headers):
            asked.parts.append(message)
        else:
            asked.future.set_result(message)

    def deny(self, subject: str) -> bool:
        """The server does not permit publishing to a subject (given in any case of letters). Returns whether anybody
        waits for an answer from there."""
        waited = False
        for asked in list(self._asked.values()):
            if asked.subject.lower() == subject.lower() and not asked.future.done():
                asked.future.set_exception(self.forbidden("publish to", asked.subject))
                waited = True
        return waited

    def forbidden(self, verb: str, subject: str) -> Forbidden:
        """The error for a subject that is not permitted; `verb` is `publish to` or `read`."""
        who = f"user {self._who}" if self._who else "us"
        return Forbidden(
            f"{self._where} does not permit {who} to {verb} {subject}; ask for other credentials, `gome doctor` tells "
            "what these may do"
        )

    def end(self, reason: str) -> None:
        """No answer will come to any of them."""
        for asked in list(self._asked.values()):
            if not asked.future.done():
                asked.future.set_exception(Unanswered(f"{self._where} did not answer {asked.subject}: {reason}"))

    def _arm(self, asked: Asked, timeout: float) -> None:
        # A timer instead of asyncio.timeout: it costs half, and this is the path of every append.
        asked.timer = asyncio.get_running_loop().call_later(timeout, self._expire, asked, timeout)

    def _expire(self, asked: Asked, timeout: float) -> None:
        if asked.future.done():
            return
        if asked.parts is not None and len(asked.parts) > asked.seen:
            asked.seen = len(asked.parts)
            self._arm(asked, timeout)
            return
        asked.future.set_exception(Unanswered(f"{self._where} did not answer {asked.subject} within {timeout:g} s"))
        self._silent()


def parse(reply: Message) -> dict[str, Any]:
    """A JetStream answer as a dict; raises `ApiError` for errors and for "no responders" (status 503)."""
    if reply.headers and not reply.data and reply.headers.get("Status") == "503":
        raise ApiError(0, 503, f"nobody answers {reply.headers.get('Nats-Subject', 'there')}")
    try:
        answer: dict[str, Any] = msgspec.json.decode(reply.data)
    except msgspec.MsgspecError as error:
        raise ApiError(0, 500, f"an answer does not decode: {error}") from error
    if fault := answer.get("error"):
        raise ApiError(fault.get("err_code", 0), fault.get("code", 0), fault.get("description", "unknown error"))
    return answer


def headers_size(headers: Mapping[str, str] | None) -> int:
    """Bytes that headers take in a message."""
    if not headers:
        return 0
    return 14 + sum(len(key.encode()) + len(value.encode()) + 4 for key, value in headers.items())
