"""Asking a language model for a typed reply, from inside an effect: what reasoners and mutators call.

    reply = await context.complete("hypotheses", system=…, user=…, reply=Hypotheses)

The call becomes a recorded child intent (`CompletionRequested`), so it is never paid twice and verify needs no model.
Here the conversation is kept: a reply that does not fit its type goes back with the error, a cut one is continued or
asked again, and what cannot be had in the end is one of the errors below, which an effect turns into an event. How an
endpoint is spoken to is the completion plugin's affair.
"""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar, overload

import msgspec

from gome.events import (
    CompletionFailed,
    CompletionReceived,
    CompletionRequested,
    CompletionRole,
    Intent,
    Message,
    Payload,
    Text,
)
from gome.kernel.errors import GomeError, UsageError
from gome.kernel.loop import CompletionSettings, Price

T = TypeVar("T")

CHARACTERS = 3.5
"""Characters of a token, for estimates: on the low side for English text and code, so that estimates run high."""
_FENCE = re.compile(r"```[\w+-]*\n(.*?)```", re.DOTALL)


class CompletionUnavailable(GomeError):
    """There is no reply and asking again brings none; `failed` is the event that says why."""

    def __init__(self, failed: CompletionFailed) -> None:
        super().__init__(f"call {failed.name}: {failed.reason}")
        self.failed = failed


class ReplyUnusable(GomeError):
    """A model has answered, but not in the shape it was asked for, after all repairs."""


class ReplyError(ValueError):
    """A text does not hold a value of the type asked for; the message is fit to be shown to the model."""


def schema_of(reply: type) -> dict[str, Any]:
    """JSON schema of a reply's type, with every definition it refers to under `$defs`; {} for plain text. Raises
    `UsageError` for a type that has none."""
    if reply is str:
        return {}
    try:
        (schema,), components = msgspec.json.schema_components([reply], ref_template="#/$defs/{name}")
    except TypeError as error:
        name = getattr(reply, "__name__", repr(reply))
        raise UsageError(f"no reply can be a {name}: {str(error).split(chr(10))[-1]}; use a msgspec.Struct") from error
    if "$ref" in schema:
        schema = dict(components.pop(schema["$ref"].rpartition("/")[2]))
    return {**schema, **({"$defs": components} if components else {})}


def parse(text: str, reply: type[T]) -> T:
    """Read a reply: plain text as it is, else the JSON value in it, bare, in a fenced block or among words. Numbers
    and truth values written as text are taken. Raises `ReplyError`."""
    if reply is str:
        return text  # type: ignore[return-value]
    found = _json(text)
    try:
        return msgspec.convert(found, reply, strict=False)
    except msgspec.ValidationError as error:
        raise ReplyError(str(error)) from None


def _json(text: str) -> Any:
    stripped = text.strip()
    candidates = [stripped, *(m.strip() for m in _FENCE.findall(text))]
    for candidate in candidates:
        try:
            return json.loads(candidate)
        except (ValueError, RecursionError):
            continue
    decoder = json.JSONDecoder()
    for match in re.finditer(r"[{\[]", stripped):
        try:
            value, _ = decoder.raw_decode(stripped, match.start())
        except (ValueError, RecursionError):
            continue
        if isinstance(value, dict | list) and value:
            return value
    if not stripped:
        raise ReplyError("the reply is empty")
    try:
        json.loads(stripped)
    except (ValueError, RecursionError) as error:
        raise ReplyError(f"the reply holds no JSON value: {error}") from None
    raise ReplyError("the reply holds no JSON value")


def code_block(text: str) -> str:
    """The longest fenced block of a reply, else the whole of it; ends with a newline."""
    blocks = _FENCE.findall(text)
    return (max(blocks, key=len) if blocks else text).strip("\n") + "\n"


def estimate_tokens(text: str) -> int:
    """About how many tokens a text has."""
    return int(len(text) / CHARACTERS) + 1


def money_of(price: Price | None, tokens_in: int, tokens_out: int, cached: int = 0) -> float | None:
    """USD for a call; `tokens_in` includes the cached ones. None when the price is unknown."""
    if price is None:
        return None
    rate = price.input if price.cached is None else price.cached
    fresh = max(0, tokens_in - cached)
    return (fresh * price.input + min(cached, tokens_in) * rate + tokens_out * price.output) / 1e6


@dataclass(frozen=True)
class Completer:
    """Asks on behalf of one effect; call it like a function. `call` is the effect's `Context.call`, `attempt` the step
    it is for ("" for none)."""

    call: Callable[[Intent], Awaitable[Payload]]
    settings: CompletionSettings
    attempt: str = ""

    @overload
    async def __call__(self, name: str, *, system: str, user: str, role: CompletionRole = "researcher") -> str: ...

    @overload
    async def __call__(
        self,
        name: str,
        *,
        system: str,
        user: str,
        reply: type[T],
        role: CompletionRole = "researcher",
        check: Callable[[T], None] | None = None,
    ) -> T: ...

    async def __call__(
        self,
        name: str,
        *,
        system: str,
        user: str,
        reply: type[Any] = str,
        role: CompletionRole = "researcher",
        check: Callable[[Any], None] | None = None,
    ) -> Any:
        """Return the model's reply to a conversation of two messages, as text or as a value of type `reply`.

        `name` names the call (a word, for people and for accounts), `role` chooses the model. `check` looks at a value
        of the right type and raises `ReplyError` where it cannot be meant; that goes back like any other error. Raises
        `CompletionUnavailable` when there is no reply, `ReplyUnusable` when none fits after `settings.repairs` repairs,
        `UsageError` when no model is set.
        """
        messages = [Message("system", Text.of(system, pooled=True)), Message("user", Text.of(user, pooled=True))]
        error = ""
        for _ in range(self.settings.repairs + 1):
            text = await self._whole(name, messages, reply, role)
            try:
                value = parse(text, reply)
                if check is not None:
                    check(value)
                return value
            except ReplyError as refused:
                error = str(refused)
            messages += [
                Message("assistant", Text.of(text, pooled=True)),
                Message("user", Text.of(_mend(error), pooled=True)),
            ]
        raise ReplyUnusable(f"call {name}: no usable reply after {self.settings.repairs} repairs: {error}")

    async def _whole(self, name: str, messages: Sequence[Message], reply: type, role: CompletionRole) -> str:
        """A reply that was not cut: plain text is continued where it stopped, structured replies are asked again."""
        room, said, conversation = self.settings.max_tokens, "", list(messages)
        for _ in range(self.settings.continuations + 1):
            received = await self._once(name, conversation, reply, role, room)
            text = str(received.text)
            if received.finish != "length":
                return said + text
            if reply is str and text.strip():
                said += text
                conversation = [
                    *messages,
                    Message("assistant", Text.of(said, pooled=True)),
                    Message("user", Text.of("Go on exactly where you stopped, without repeating anything.")),
                ]
            else:
                room *= 2
        if said:
            return said
        raise ReplyUnusable(f"call {name}: the reply was cut at {room // 2} tokens; raise completion.max_tokens")

    async def _once(
        self, name: str, messages: Sequence[Message], reply: type, role: CompletionRole, room: int
    ) -> CompletionReceived:
        settings = self.settings
        model = settings.model_for(role)
        if not model:
            raise UsageError(f"call {name} needs a model: name one with --model or the setting completion.{role}")
        tokens = sum(estimate_tokens(str(m.content)) for m in messages)
        asked = CompletionRequested(
            name=name,
            model=model,
            messages=tuple(messages),
            attempt=self.attempt,
            role=role,
            schema=schema_of(reply),
            effort=settings.effort,
            temperature=settings.temperature,
            seed=settings.seed,
            max_tokens=room,
            tokens_in=tokens,
            max_money=money_of(settings.price_of(model), tokens, room),
        )
        answer = await self.call(asked)
        if isinstance(answer, CompletionFailed):
            raise CompletionUnavailable(answer)
        if not isinstance(answer, CompletionReceived):
            raise GomeError(f"call {name} was answered with {type(answer).__name__}, which is no completion")
        return answer


def _mend(error: str) -> str:
    return (
        f"That reply cannot be used: {error}. Answer again with the whole reply, corrected, in the form that was asked "
        "for and with nothing around it."
    )
