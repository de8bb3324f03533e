"""Asking a service over NATS, from Python: the verbs as methods. Any other client of NATS does the same by hand."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING, Any

import msgspec

from gome.kernel.answers import Message
from gome.kernel.errors import LogUnreachable
from gome.kernel.service.micro import ENDED, SUBJECTS
from gome.kernel.service.problems import Refused

if TYPE_CHECKING:
    from gome.kernel.jetstream import Connection

_CODE, _TEXT = "Nats-Service-Error-Code", "Nats-Service-Error"
_SILENCE = 30.0


class ServiceClient:
    """The runs of one tenant. `token` is its token, "" where there is one tenant only. Methods raise `Refused` with the
    service's status and sentence, `LogUnreachable` when no service answers."""

    def __init__(self, connection: Connection, tenant: str = "main", token: str = "") -> None:
        self._connection = connection
        self._subject = f"{SUBJECTS}.{tenant}"
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}

    async def submit(self, task: str, *, nonce: str = "", **fields: Any) -> dict[str, Any]:
        """Submit a run (fields are those of `Submission`); with the nonce of an earlier one, that one is meant."""
        found: dict[str, Any] = await self._ask("submit", task=task, nonce=nonce or secrets.token_hex(16), **fields)
        return found

    async def status(self, run: str) -> dict[str, Any]:
        """How far a run is."""
        found: dict[str, Any] = await self._ask("status", run=run)
        return found

    async def list(self, after: int = 0, limit: int = 20) -> list[dict[str, Any]]:
        """Runs in the order of their submission, those after a position."""
        found: list[dict[str, Any]] = await self._ask("list", after=after, limit=limit)
        return found

    async def result(self, run: str) -> dict[str, Any]:
        """How a run ended."""
        found: dict[str, Any] = await self._ask("result", run=run)
        return found

    async def file(self, run: str, name: str) -> bytes:
        """A file that a finished run hands in."""
        return (await self._request("result", {"run": run, "file": name})).data

    async def stop(self, run: str, reason: str = "") -> str:
        """Ask a run to end with what it has; returns what came of it."""
        return str((await self._ask("stop", run=run, reason=reason))["said"])

    async def tail(self, run: str, after: int = 0) -> AsyncGenerator[dict[str, Any], None]:
        """The events of a run behind a position, until it has ended. When the service that answers goes, another one is
        asked; there may be none for the connection's patience."""
        arrived: asyncio.Queue[Message | None] = asyncio.Queue()
        inbox = self._connection.new_inbox()
        held = await self._connection.subscribe(inbox, arrived.put_nowait, lambda: arrived.put_nowait(None))
        body = {"run": run, "seconds": _SILENCE}
        until = 0.0
        try:
            while True:
                asked = msgspec.json.encode({**body, "after": after})
                await self._connection.send(f"{self._subject}.tail", asked, reply=inbox, headers=self._headers)
                try:
                    async for line in self._part(arrived):
                        until = time.monotonic() + self._connection.patience
                        if line is None:
                            return
                        if line["seq"] > after:
                            after = line["seq"]
                            yield line
                except LogUnreachable:
                    if time.monotonic() > until:
                        raise
                    await asyncio.sleep(0.2)
        finally:
            await self._connection.unsubscribe(held)

    async def _part(self, arrived: asyncio.Queue[Message | None]) -> AsyncGenerator[dict[str, Any] | None, None]:
        """The lines of one answer, then None when the run has ended."""
        while True:
            try:
                message = await asyncio.wait_for(arrived.get(), _SILENCE + 5)
            except TimeoutError:
                return
            if message is None:
                return
            _check(message)
            ended = (message.headers or {}).get(ENDED)
            if ended is not None:
                if ended == "end":
                    yield None
                return
            yield msgspec.json.decode(message.data)

    async def _ask(self, verb: str, **body: Any) -> Any:
        return msgspec.json.decode((await self._request(verb, body)).data)

    async def _request(self, verb: str, body: dict[str, Any]) -> Message:
        answer = await self._connection.request(
            f"{self._subject}.{verb}", msgspec.json.encode(body), self._headers, timeout=_SILENCE
        )
        _check(answer)
        return answer


def _check(answer: Message) -> None:
    headers = answer.headers or {}
    if headers.get("Status") == "503":
        raise LogUnreachable("no service answers there; start one with `gome serve`")
    if (code := headers.get(_CODE)) is not None:
        raise Refused(int(code), headers.get(_TEXT) or "")
