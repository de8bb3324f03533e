"""Asking a scripted endpoint through the plugin, as tests of it do: short waits, no key unless one is given."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gome.events import CompletionFailed, CompletionReceived, CompletionRequested, Cost, Message, Text
from gome.kernel.solo import perform_once
from gome.plugins.completion.openai import plugin

SCHEMA = {
    "type": "object",
    "properties": {"name": {"type": "string", "minLength": 3}, "weight": {"type": "number", "default": 1.0}},
    "required": ["name"],
}


def request(user: str = "how?", *, system: str = "be brief", **more: Any) -> CompletionRequested:
    """A request of two messages."""
    messages = (Message("system", Text.of(system, pooled=True)), Message("user", Text.of(user, pooled=True)))
    return CompletionRequested(**{"name": "call", "model": "some-model", "messages": messages, "tokens_in": 7} | more)


class Asker:
    """Performs requests against one endpoint with settings of the plugin. `cost` is that of the last one."""

    def __init__(self, url: str, folder: Path, **settings: Any) -> None:
        quick = {"key_variable": "", "backoff": 0.0, "connect": 5.0, "first_token": 20.0, "between_tokens": 20.0}
        self.tables: dict[str, Any] = {"openai": quick | {"base_url": url, "total": 40.0} | settings}
        self.folder = folder
        self.cost = Cost()

    async def ask(self, asked: CompletionRequested | None = None, **more: Any) -> CompletionReceived | CompletionFailed:
        """What comes of a request."""
        result = await perform_once(plugin, asked or request(**more), self.tables, self.folder)
        assert result.cost is not None
        assert isinstance(result.payload, CompletionReceived | CompletionFailed)
        self.cost = result.cost
        return result.payload

    async def received(self, asked: CompletionRequested | None = None, **more: Any) -> CompletionReceived:
        """The reply; fails the test when there is none."""
        answer = await self.ask(asked, **more)
        assert isinstance(answer, CompletionReceived), answer
        return answer

    async def failed(self, asked: CompletionRequested | None = None, **more: Any) -> CompletionFailed:
        """The failure; fails the test when there is a reply."""
        answer = await self.ask(asked, **more)
        assert isinstance(answer, CompletionFailed), answer
        return answer
