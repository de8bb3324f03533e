"""A run's completions as a table: argument digest → replies in the order in which they were recorded.

Reads a run of the log that the present run is in, or a file of records, through `Context.history`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

from gome.events import (
    CODEC,
    Commit,
    CompletionFailed,
    CompletionReceived,
    CompletionRequested,
    Event,
    result_id,
)
from gome.kernel.errors import UsageError
from gome.kernel.plugin import Result


@dataclass
class Recording:
    """What was asked and answered in a run. `requests` keeps one request of each digest, for telling how a new one
    differs."""

    run: str
    replies: dict[str, list[Result]] = field(default_factory=dict)
    requests: dict[str, CompletionRequested] = field(default_factory=dict)
    _open: dict[str, str] = field(default_factory=dict)

    def take(self, event: Event) -> None:
        """Fold one event of the recorded run."""
        payload = event.payload
        if isinstance(payload, CompletionRequested):
            digest = CODEC.argument_digest(payload)
            self._open[event.id] = digest
            self.requests.setdefault(digest, payload)
            return
        asked = self._open.get(event.cause, "") if event.id == result_id(event.cause) else ""
        if asked and isinstance(payload, CompletionReceived | CompletionFailed):
            self.replies.setdefault(asked, []).append(Result(payload, event.cost))
            del self._open[event.cause]


async def read_run(run: str, history: Callable[[str], AsyncIterator[Commit]]) -> Recording:
    """Read a recorded run; raises `UsageError` where it holds no completion."""
    recording = Recording(run)
    async for commit in history(run):
        for event in commit.events:
            recording.take(event)
    if not recording.replies:
        raise UsageError(f"run {run} holds no completions to answer from; it was made without a language model")
    return recording
