"""Performing CompletionRequested: try, learn, wait, try again; then say what came of it and what it cost.

Whatever an endpoint does ends as CompletionReceived or CompletionFailed; only a bug raises. What a broken try had
already brought is counted (estimated), because it is paid.
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import anyio
import httpx
import msgspec

from gome.events import (
    CODEC,
    CompletionFailed,
    CompletionReceived,
    CompletionRequested,
    Cost,
    Event,
    ReplyMode,
    Text,
)
from gome.kernel.completing import estimate_tokens, money_of
from gome.kernel.diagnostics import HIDDEN, learn, redact
from gome.kernel.loop import completion_settings
from gome.kernel.plugin import Context, Result
from gome.plugins.completion.openai import wire
from gome.plugins.completion.openai.answer import Answer, without_thoughts
from gome.plugins.completion.openai.dialect import Dialect, body, heed, known, remember, weaker
from gome.plugins.completion.openai.limit import Limit, limit_of
from gome.plugins.completion.openai.quirks import address
from gome.plugins.completion.openai.settings import Settings

LESSONS = 12
"""Times that one call may be asked differently before the endpoint's refusal is taken for final."""
LONGEST_WAIT = 60.0
"""Seconds above which waits that nobody asked for do not grow."""

sleep = anyio.sleep


async def complete(event: Event, ctx: Context) -> Result:
    """Ask the model of the request; see the module."""
    request = event.payload
    assert isinstance(request, CompletionRequested)
    settings = msgspec.convert(ctx.settings, Settings)
    call = _Call(request, settings, ctx)
    try:
        with anyio.move_on_after(settings.total) as call.patience:
            return call.received(*await call.answered())
    except wire.Trouble as trouble:
        return call.failed(trouble)
    told = f"{call.base} brought no answer in {settings.total:g} s, all tries together"
    return call.failed(wire.Trouble("timeout", told))


@dataclass
class _Call:
    """One request on its way: what it has taken so far, and the answer that is arriving. `patience` ends when the call
    has taken too long; waiting for a place among the endpoint's calls does not count."""

    request: CompletionRequested
    settings: Settings
    ctx: Context
    tries: int = 0
    queued: float = 0.0
    began: float = field(default_factory=time.perf_counter)
    patience: anyio.CancelScope = field(default_factory=anyio.CancelScope)
    answer: Answer | None = None
    lost_in: int = 0
    lost_out: int = 0

    def __post_init__(self) -> None:
        self.base = self.settings.url()
        self.key = self.settings.key()
        self.headers, secrets = self.settings.sent_headers()
        self.secrets = {s for s in (self.key, *secrets) if s}
        for secret in self.secrets:
            learn(secret)

    def check(self) -> None:
        """Raise for a key or header that cannot be sent, such as one with a line break or a typographic quote in it."""
        for name, value in {f"the key in {self.settings.key_variable}": self.key, **self.headers}.items():
            if not (value.isascii() and value.isprintable()):
                raise wire.Trouble("auth", f"{name} holds signs that no header may have; copy it again", fatal=True)

    async def answered(self) -> tuple[Answer, ReplyMode]:
        """The answer, and how its shape was asked for; raises `Trouble` when there is none to be had."""
        self.check()
        limit = limit_of(self.base, self.settings.concurrency)
        dialect, tentative, failures, lessons = self.known(), False, 0, 0
        async with wire.client(self.base, self.settings) as http:
            while True:
                async with self._place(limit) as began:
                    try:
                        answer = await self._once(http, dialect)
                        limit.succeeded()
                        if tentative:
                            self._remember(dialect)
                        return answer, self._mode(dialect, answer)
                    except wire.Trouble as caught:
                        trouble = caught
                        if trouble.many:
                            limit.too_many(began)
                learnt = self._lesson(dialect, trouble) if lessons < LESSONS else None
                if learnt is not None:
                    (dialect, tentative), lessons = learnt, lessons + 1
                    continue
                failures += 1
                if not trouble.again or failures >= self.settings.tries:
                    trouble.fatal |= trouble.failure == "unreachable"
                    raise trouble
                if trouble.failure == "protocol" and dialect.stream and failures > 1:
                    dialect, tentative = msgspec.structs.replace(dialect, stream=False), True
                await self._wait(failures, trouble)

    @asynccontextmanager
    async def _place(self, limit: Limit) -> AsyncIterator[int]:
        """A place among the calls to the endpoint; patience stands still until there is one."""
        now = anyio.current_time()
        left, self.patience.deadline = self.patience.deadline - now, float("inf")
        async with limit.slot() as began:
            self.queued += anyio.current_time() - now
            self.patience.deadline = anyio.current_time() + left
            yield began

    async def _once(self, http: httpx.AsyncClient, dialect: Dialect) -> Answer:
        settings, quirks = self.settings, dialect.quirks
        self.tries += 1
        self._count_lost()
        self.answer = answer = Answer(settings.largest)
        headers = dict(self.headers)
        if self.key:
            name, value = ("api-key", self.key) if quirks.auth == "api-key" else ("Authorization", f"Bearer {self.key}")
            headers = {name: value, **headers}
        url = address(self.base, self.request.model, quirks, settings.api_version)
        await wire.ask(http, url, headers, body(dialect, self.request), settings, answer)
        return answer

    def _lesson(self, dialect: Dialect, trouble: wire.Trouble) -> tuple[Dialect, bool] | None:
        """What to try next after a refusal, and whether that is a guess to be remembered only if it works."""
        if not trouble.wrong:
            return None
        if changed := heed(self.known(), dialect, self.request, trouble.said):
            self._remember(changed)
            self.ctx.log.info("the endpoint refuses a part of the request", model=self.request.model, why=trouble.said)
            return changed, False
        # Some endpoints do not say what they dislike; a schema is what most of them cannot do.
        said = trouble.said.lower()
        if "context" in said or "too long" in said:
            return None
        guess = weaker(dialect, self.request, only_here=True)
        return (guess, True) if guess else None

    def _mode(self, dialect: Dialect, answer: Answer) -> ReplyMode:
        """How the shape was asked for. A schema that seems to be ignored is said in words, too, from now on."""
        mode = dialect.mode_for(self.request.schema)
        if mode == "schema" and answer.finish != "length":
            try:
                json.loads(without_thoughts(answer.text, dialect.quirks.think))
            except (ValueError, RecursionError):
                self._remember(msgspec.structs.replace(self.known(), words=True))
        return mode

    def known(self) -> Dialect:
        """What this process knows of the model by now."""
        return known(self.base, self.request.model, self.settings)

    def _remember(self, dialect: Dialect) -> None:
        remember(self.base, self.request.model, self.settings, dialect)

    async def _wait(self, failures: int, trouble: wire.Trouble) -> None:
        """Wait as long as the endpoint asks, else twice as long each time; never the same for two callers."""
        jitter = random.uniform(0.5, 1.0)
        longest = min(LONGEST_WAIT, self.settings.backoff * 2 ** (failures - 1))
        seconds = longest * jitter if trouble.after is None else trouble.after + 0.25 * self.settings.backoff * jitter
        left = self.patience.deadline - anyio.current_time()
        if seconds > left:
            trouble.reason += f"; the next try was to wait {seconds:.0f} s, and {max(0.0, left):.0f} s are left"
            raise trouble
        self.ctx.log.info(
            "completion is tried again", model=self.request.model, tries=self.tries, seconds=seconds, why=trouble.reason
        )
        await sleep(seconds)

    def _count_lost(self) -> None:
        """Count what a try that came to nothing has brought."""
        if self.answer is not None and self.answer.begun:
            usage = self.answer.usage
            self.lost_in += usage.tokens_in if usage else self._tokens_in()
            self.lost_out += usage.tokens_out if usage else self.answer.tokens_out
        self.answer = None

    def _tokens_in(self) -> int:
        return self.request.tokens_in or sum(estimate_tokens(str(m.content)) for m in self.request.messages)

    def received(self, answer: Answer, mode: ReplyMode) -> Result:
        """The reply and its cost."""
        request, usage = self.request, answer.usage
        text = self._clean(without_thoughts(answer.text, self.known().quirks.think))
        served = self._clean(answer.model)[:200] or request.model
        tokens_in = (usage.tokens_in if usage else self._tokens_in()) + self.lost_in
        tokens_out = (usage.tokens_out if usage else answer.tokens_out) + self.lost_out
        cached = usage.cached if usage else 0
        payload = CompletionReceived(
            name=request.name,
            text=Text.of(text),
            model=served,
            request=CODEC.argument_digest(request),
            attempt=request.attempt,
            finish="length" if answer.finish == "length" else "stop",
            mode=mode,
            first_token_seconds=round(answer.first_token or 0.0, 3),
            tries=self.tries,
            estimated=usage is None or bool(self.lost_in),
        )
        return Result(payload, self._cost(served, tokens_in, tokens_out, cached, usage.reasoning if usage else 0))

    def failed(self, trouble: wire.Trouble) -> Result:
        """Why there is no reply, and what that cost."""
        self._count_lost()
        reason = trouble.reason
        if trouble.failure == "auth":
            variable = self.settings.key_variable
            reason += f" (key from {variable})" if self.key else f" (no key was sent: {variable or 'none'} is not set)"
        payload = CompletionFailed(
            name=self.request.name,
            failure=trouble.failure,
            reason=redact(reason)[:600],
            request=CODEC.argument_digest(self.request),
            attempt=self.request.attempt,
            fatal=trouble.fatal,
            tries=self.tries,
        )
        return Result(payload, self._cost(self.request.model, self.lost_in, self.lost_out, 0, 0))

    def _cost(self, served: str, tokens_in: int, tokens_out: int, cached: int, reasoning: int) -> Cost:
        settings = completion_settings(self.ctx.started.settings)
        price = settings.price_of(served) or settings.price_of(self.request.model)
        nothing = tokens_in == tokens_out == 0
        return Cost(
            seconds=round(time.perf_counter() - self.began - self.queued, 3),
            tokens_in=tokens_in,
            tokens_out=tokens_out,
            tokens_cached=cached,
            tokens_reasoning=reasoning,
            money=0.0 if nothing else money_of(price, tokens_in, tokens_out, cached),
            model=served,
        )

    def _clean(self, text: str) -> str:
        """A text of the endpoint's without our own secrets."""
        for secret in self.secrets:
            text = text.replace(secret, HIDDEN)
        return text
