"""Reading what an endpoint sends: chunks of a stream or one whole object, errors, tokens. Pure: no network here.

`Answer` takes in JSON objects in either form; `Lines` cuts the bytes of an event stream into data lines. Endpoints are
not to be trusted with shapes: what is missing or odd is skipped, never raised.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from gome.kernel.completing import CHARACTERS

_CUT = ("length", "max_tokens", "max_output_tokens", "model_length")


@dataclass(frozen=True)
class Usage:
    """Tokens of one request as the endpoint counts them; `cached` are part of `tokens_in`, `reasoning` part of
    `tokens_out`."""

    tokens_in: int = 0
    tokens_out: int = 0
    cached: int = 0
    reasoning: int = 0


@dataclass
class Answer:
    """An answer as far as it has come. `largest` bounds the characters of text and of thoughts that are kept."""

    largest: int
    model: str = ""
    finish: str = ""
    refusal: str = ""
    usage: Usage | None = None
    error: Mapping[str, Any] | str | None = None
    complete: bool = False
    cut: bool = False
    thought: int = 0
    first_token: float | None = None
    _text: list[str] = field(default_factory=list)
    _size: int = 0

    @property
    def text(self) -> str:
        """What has been said, thoughts in a field of their own left out."""
        return "".join(self._text)

    @property
    def begun(self) -> bool:
        """Whether the model has said or thought anything."""
        return self._size > 0 or self.thought > 0

    @property
    def tokens_out(self) -> int:
        """An estimate of the tokens that have come."""
        return int((self._size + self.thought) / CHARACTERS) + 1 if self.begun else 0

    def take(self, found: Any) -> None:
        """Take in a whole answer or a chunk of one."""
        if not isinstance(found, Mapping):
            self.error = "it is no JSON object"
            return
        if error := found.get("error"):
            self.error = error if isinstance(error, Mapping) else str(error)
            return
        self.model = str(found.get("model") or self.model)
        if isinstance(usage := found.get("usage"), Mapping):
            self.usage = _usage(usage)
        choices = found.get("choices")
        choice = choices[0] if isinstance(choices, Sequence) and choices else None
        if not isinstance(choice, Mapping):
            return
        for name in ("delta", "message"):
            if isinstance(part := choice.get(name), Mapping):
                self._said(part)
        if (reason := choice.get("finish_reason")) and not self.cut:
            self.finish = "length" if str(reason).lower() in _CUT else str(reason).lower()
            self.complete = True

    def _said(self, part: Mapping[str, Any]) -> None:
        for name in ("reasoning_content", "reasoning"):
            if isinstance(thoughts := part.get(name), str):
                self.thought += len(thoughts)
                break
        if isinstance(refusal := part.get("refusal"), str):
            self.refusal += refusal[: 2000 - len(self.refusal)]
        text = _plain(part.get("content"))
        room = self.largest - self._size
        if text:
            self._text.append(text[:room])
            self._size += min(len(text), room)
        if len(text) > room or self.thought > self.largest:
            self.cut = self.complete = True
            self.finish = "length"


def _plain(content: Any) -> str:
    """The text of a message's content, which some endpoints send in parts."""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return "".join(str(p.get("text") or "") for p in content if isinstance(p, Mapping) and p.get("type") == "text")
    return ""


def _usage(found: Mapping[str, Any]) -> Usage | None:
    def count(table: Any, *names: str) -> int:
        for name in names:
            value = table.get(name) if isinstance(table, Mapping) else None
            if isinstance(value, int | float) and value > 0:
                return int(value)
        return 0

    tokens_in, tokens_out = count(found, "prompt_tokens"), count(found, "completion_tokens")
    if not tokens_in and not tokens_out:
        return None
    cached = count(found.get("prompt_tokens_details"), "cached_tokens") or count(found, "prompt_cache_hit_tokens")
    reasoning = count(found.get("completion_tokens_details"), "reasoning_tokens")
    return Usage(tokens_in, tokens_out, min(cached, tokens_in), reasoning)


class Lines:
    """Cuts an event stream into the values of its data lines. Only line feeds end a line: other signs that Python
    takes for line ends may stand inside JSON."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Take in bytes and yield what has become whole."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            if line.startswith(b"data:"):
                yield line[5:].strip()

    def held(self) -> int:
        """Bytes of the unfinished line."""
        return len(self._rest)


def without_thoughts(text: str, signs: Sequence[tuple[str, str]]) -> str:
    """A reply without the thoughts at its head. Thoughts that never end leave nothing."""
    stripped = text.lstrip()
    for opening, closing in signs:
        if opening and stripped.startswith(opening):
            return stripped.partition(closing)[2].lstrip()
        if not opening and closing in stripped:
            return stripped.partition(closing)[2].lstrip()
    return text


def words_of(data: bytes) -> tuple[str, str]:
    """What an error body says, as (code, text); the text begins with the parameter it names, if any."""
    try:
        found = json.loads(data)
    except (ValueError, RecursionError):
        return "", " ".join(data[:2000].decode("utf-8", "replace").split())
    return words_of_error(found.get("error", found) if isinstance(found, Mapping) else found)


def words_of_error(error: Any) -> tuple[str, str]:
    """The same of an error that has been taken out of its body."""
    if not isinstance(error, Mapping):
        return "", str(error)[:2000]
    code = str(error.get("code") or error.get("type") or "")
    said = error.get("message") or error.get("detail") or error
    # Pydantic's way: a list of places and messages; the input that it repeats is left out.
    if isinstance(said, list):
        parts = [s for s in said if isinstance(s, Mapping)]
        said = "; ".join(f"{'.'.join(map(str, s.get('loc') or ()))}: {s.get('msg', '')}" for s in parts) or said
    parameter = error.get("param")
    return code, (f"{parameter}: " if isinstance(parameter, str) and parameter else "") + str(said)[:2000]
