"""The NATS client that we use: nats-py's, with a shorter way from the socket to us and one fault mended.

Both reach into the library's private methods, which is why they have a file of their own. Clients are made and kept by
`gome.kernel.nats_link`; what is asked over them is the business of `gome.kernel.jetstream`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import nats.aio.client
from nats.aio.msg import Msg

from gome.kernel.answers import Headers, Message

# Where fast-mail-parser is installed nats-py uses it, and its newer versions give lists for header values.
nats.aio.client.parse_email = None  # type: ignore[attr-defined]


class DirectClient(nats.aio.client.Client):
    """nats-py's client with a shorter way from the socket to us: `direct` receivers get their messages at once, not
    through a queue and a task of their own, and headers are looked at only when somebody asks for one. That is a third
    of what reading costs. Should the method be renamed there, messages simply take the long way."""

    def __init__(self) -> None:
        super().__init__()
        self.direct: dict[int, Callable[[Message], None]] = {}

    async def _process_msg(self, sid: int, subject: bytes, reply: bytes, data: bytes, headers: bytes) -> None:
        receive = self.direct.get(sid)
        if receive is None:
            await super()._process_msg(sid, subject, reply, data, headers)
            return
        self.stats["in_msgs"] += 1
        self.stats["in_bytes"] += len(data)
        try:
            receive(Message(subject.decode(), data, Headers(headers) if headers else None, reply.decode()))
        except Exception as error:
            await self._error_cb(error)

    async def _process_pong(self) -> None:
        # The library fails on the answer to a ping whose sender has given up, and never reads from the socket again.
        if self._pongs and self._pongs[0].done():
            self._pongs[0] = asyncio.get_running_loop().create_future()
        await super()._process_pong()

    async def listen(self, subject: str, receive: Callable[[Message], None], pending_bytes: int) -> Any:
        """Subscribe a receiver that returns at once."""

        async def long_way(message: Msg) -> None:
            receive(Message(message.subject, message.data, message.headers, message.reply))

        held = await self.subscribe(subject, cb=long_way, pending_bytes_limit=pending_bytes)
        self.direct[held._id] = receive
        return held
