"""What a language model is asked and what it answers: one completion is one intent and one result.

Messages are pooled texts, so a conversation is stored once however often it is continued. The request says everything
that shapes the answer and nothing about the run it was made in: equal requests have equal argument digests anywhere,
which is how recorded completions are found again. What a call took is the cost in the result's envelope.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from msgspec import Struct, field

from gome.events.artifact import Text
from gome.events.payload import Intent, Payload, Reservation

CompletionRole = Literal["researcher", "developer", "judge"]
"""Which model a call goes to: `researcher` reasons, `developer` writes code, `judge` gives verdicts."""

CompletionFailure = Literal[
    "auth", "model", "request", "refused", "rate", "server", "unreachable", "timeout", "protocol", "missing"
]
"""Why there is no completion: key or rights; no such model; the endpoint calls the request wrong; content refused; too
many requests; 5xx; no connection; no answer in time; an answer that is none; not among recorded ones."""

ReplyMode = Literal["schema", "json", "text"]
"""How the shape of the reply was asked for: enforced JSON schema, any JSON object, or in words."""


class Message(Struct, frozen=True):
    """One turn of a conversation."""

    role: Literal["system", "user", "assistant"]
    content: Text


class CompletionRequested(Intent, frozen=True):
    """Asks a model to go on with a conversation.

    `name` is the call's name (`challenges`, `code`, …), `model` the one asked. `schema` is the JSON schema of the reply
    ({}: plain text). `effort` ("" when not sent), `temperature`, `seed` (None when not sent) are passed on as the
    endpoint takes them, `max_tokens` bounds the reply, reasoning included. `tokens_in` estimates the prompt,
    `max_money` is what the call can cost at most in USD (None: the price is unknown).
    """

    name: str
    model: str
    messages: tuple[Message, ...]
    attempt: str = ""
    role: CompletionRole = "researcher"
    schema: dict[str, Any] = field(default_factory=dict)
    effort: str = ""
    temperature: float | None = None
    seed: int | None = None
    max_tokens: int = 16_000
    tokens_in: int = 0
    max_money: float | None = None
    volatile: ClassVar[tuple[str, ...]] = ("attempt", "max_money")

    def reserves(self) -> Reservation:
        """One completion with all the tokens and money that it can take; a price that is unknown holds no money."""
        return Reservation(completions=1, tokens=self.tokens_in + self.max_tokens, money=self.max_money or 0.0)


class CompletionReceived(Payload, frozen=True):
    """The reply. `request` is the argument digest of what was asked, `model` the one that served it (as the endpoint
    says), `finish` why it ended (`stop`, `length`, …), `first_token_seconds` the wait for the first one. Tokens, money
    and seconds are in the envelope's cost; `estimated` says that the endpoint has not counted all of the tokens, so
    that some are estimates from the lengths of texts. `tries` counts the HTTP requests it took."""

    name: str
    text: Text
    model: str
    request: str
    attempt: str = ""
    finish: str = "stop"
    mode: ReplyMode = "text"
    first_token_seconds: float = 0.0
    tries: int = 1
    estimated: bool = False


class CompletionFailed(Payload, frozen=True):
    """There is no reply and trying again will not bring one. `fatal` says that other calls to the same model are not
    worth making either (a wrong key, an endpoint that is gone)."""

    name: str
    failure: CompletionFailure
    reason: str
    request: str = ""
    attempt: str = ""
    fatal: bool = False
    tries: int = 1
