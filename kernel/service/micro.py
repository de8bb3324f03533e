"""The service over NATS micro: endpoints that any client of NATS finds by `$SRV.PING`, `.INFO` and `.STATS`.

Subjects are `gome.service.<tenant>.<verb>`, bodies JSON; services of one name share the requests. A token, where there
are tenants, comes in the header `Authorization: Bearer TOKEN`. `tail` answers with a message per event and ends with an
empty one, whose header `Gome-Tail` says `end` (the run has ended) or `more` (ask again, from the last position): so
nobody streams for ever to a client that is gone. Errors are those of NATS services: code and description in headers.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import aclosing
from importlib import metadata
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Struct

from gome.kernel.service.operations import Operations
from gome.kernel.service.problems import Refused, problem
from gome.kernel.service.requests import LIMIT
from gome.kernel.service.tenants import Tenant, Tenants

if TYPE_CHECKING:
    from gome.kernel.jetstream import Connection

NAME = "gome"
SUBJECTS = "gome.service"
FILE_LIMIT = 512 * 1024
"""Bytes of a file that fit into an answer; larger ones are to be had over HTTP."""
ENDED = "Gome-Tail"
TAIL_SECONDS = 600.0
"""The longest that one request is answered."""


class _Asked(Struct, frozen=True, forbid_unknown_fields=True):
    """The body of requests about runs; fields that a verb does not use mean nothing to it."""

    run: str = ""
    reason: str = ""
    file: str = ""
    after: int = 0
    limit: int = 20
    seconds: float = 60.0


Handler = Callable[[Tenant, bytes], Awaitable[bytes]]


class Micro:
    """Registers the endpoints while `serve` runs, again on a connection that had to be made anew."""

    def __init__(self, connection: Connection, operations: Operations, tenants: Tenants) -> None:
        self._connection = connection
        self._operations = operations
        self._tenants = tenants
        self._again = asyncio.Event()
        self._service: Any = None
        self._client: Any = None
        self._tails: set[asyncio.Task[None]] = set()
        connection.on_return(self._again.set)

    async def start(self) -> None:
        """Be found and answer."""
        from nats.micro import add_service

        client = await self._connection.client()
        if client is self._client:
            return  # the library has subscribed again by itself
        version = metadata.version("gome")
        about = {"tenants": "one" if self._tenants.single else "several"}
        self._client = client
        self._service = await add_service(
            client, name=NAME, version=version, description="runs of gome, headless", metadata=about
        )
        verbs: Mapping[str, Handler] = {
            "submit": self._submit,
            "status": self._status,
            "list": self._list,
            "result": self._result,
            "stop": self._stop,
        }
        for verb, handler in verbs.items():
            await self._service.add_endpoint(
                name=verb, subject=f"{SUBJECTS}.*.{verb}", handler=self._answering(handler)
            )
        await self._service.add_endpoint(name="tail", subject=f"{SUBJECTS}.*.tail", handler=self._tail)
        await self._service.add_endpoint(name="health", subject=f"{SUBJECTS}.health", handler=self._health)

    async def keep(self) -> None:
        """Register again whenever the server is back; runs until cancelled."""
        while True:
            await self._again.wait()
            self._again.clear()
            await self.start()

    async def stop(self) -> None:
        """Be found no more; tails end and tell their clients to ask another service."""
        if self._service is not None:
            await self._service.stop()
        for task in self._tails:
            task.cancel()
        await asyncio.gather(*self._tails, return_exceptions=True)

    def _tenant(self, request: Any) -> Tenant:
        header = (request.headers or {}).get("Authorization", "")
        return self._tenants.named(request.subject.split(".")[2], header.removeprefix("Bearer ").strip())

    def _answering(self, handler: Handler) -> Callable[[Any], Awaitable[None]]:
        async def answer(request: Any) -> None:
            try:
                answered = await handler(self._tenant(request), request.data)
            except Exception as error:
                raise _said(error) from None
            await request.respond(answered)

        return answer

    async def _submit(self, tenant: Tenant, body: bytes) -> bytes:
        status, fresh = await self._operations.submit(tenant, body)
        return msgspec.json.encode({"new": fresh, **msgspec.to_builtins(status)})

    async def _status(self, tenant: Tenant, body: bytes) -> bytes:
        return msgspec.json.encode(await self._operations.status(tenant, _asked(body).run))

    async def _list(self, tenant: Tenant, body: bytes) -> bytes:
        asked = _asked(body)
        return msgspec.json.encode(await self._operations.list(tenant, asked.after, asked.limit))

    async def _result(self, tenant: Tenant, body: bytes) -> bytes:
        asked = _asked(body)
        if not asked.file:
            return msgspec.json.encode(await self._operations.result(tenant, asked.run))
        data = await self._operations.file(tenant, asked.run, asked.file)
        if len(data) > FILE_LIMIT:
            raise Refused(
                413, f"{asked.file} has {len(data):,} bytes and at most {FILE_LIMIT:,} fit; fetch it over HTTP"
            )
        return data

    async def _stop(self, tenant: Tenant, body: bytes) -> bytes:
        asked = _asked(body)
        return msgspec.json.encode(await self._operations.stop(tenant, asked.run, asked.reason))

    async def _health(self, request: Any) -> None:
        try:
            answered = await self._operations.health()
        except Exception as error:
            raise _said(error) from None
        await request.respond(msgspec.json.encode(answered))

    async def _tail(self, request: Any) -> None:
        """Begin to answer; the rest goes on beside other requests."""
        try:
            tenant, asked = self._tenant(request), _asked(request.data)
            await self._operations.status(tenant, asked.run)
        except Exception as error:
            raise _said(error) from None
        task = asyncio.ensure_future(self._stream(request, tenant, asked))
        self._tails.add(task)
        task.add_done_callback(self._tails.discard)

    async def _stream(self, request: Any, tenant: Tenant, asked: _Asked) -> None:
        end = "more"
        try:
            async with asyncio.timeout(min(max(asked.seconds, 0.0), TAIL_SECONDS)):
                async with aclosing(self._operations.tail(tenant, asked.run, asked.after)) as lines:
                    async for line in lines:
                        await request.respond(msgspec.json.encode(line))
                end = "end"
        except TimeoutError:
            pass  # the client asks again, if it is still there
        except asyncio.CancelledError:
            await request.respond(b"", {ENDED: end})
            raise
        except Exception as error:
            said = _said(error)
            await request.respond_error(said.code, said.description)
            return
        await request.respond(b"", {ENDED: end})


def _asked(body: bytes) -> _Asked:
    if len(body) > LIMIT:
        raise Refused(413, f"a request may have {LIMIT:,} bytes, and this one has {len(body):,}")
    try:
        return msgspec.json.decode(body or b"{}", type=_Asked)
    except msgspec.DecodeError as error:
        raise Refused(422, f"this request cannot be read: {error}") from None


def _said(error: Exception) -> Any:
    """An error as NATS services tell it, in one line: it becomes a header."""
    from nats.micro.request import ServiceError

    status, title, detail = problem(error)
    return ServiceError(str(status), " ".join(f"{title}: {detail}".split())[:1000])
