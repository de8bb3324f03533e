"""One HTTP request to an endpoint, and what its failure means. Trying again is the business of `calling`.

Time limits are set here on what httpx cannot see: the first token, and the silence between two. The connection belongs
to the scope of the request: whoever cancels it closes it, which tells the endpoint to stop.
"""

from __future__ import annotations

import email.utils
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import anyio
import httpx

from gome.events import CompletionFailure
from gome.plugins.completion.openai.answer import Answer, Lines, words_of, words_of_error
from gome.plugins.completion.openai.settings import Settings

if TYPE_CHECKING:
    import ssl

LINE = 16
"""Bytes per character of a reply that an endpoint may send around it before it is taken for broken."""
_REFUSED = ("content_filter", "content_policy", "content management policy", "moderation", "responsibleai")
_QUOTA = ("insufficient_quota", "insufficient balance", "exceeded your current quota")


@dataclass(eq=False)
class Trouble(Exception):
    """A request that brought no answer. `again`: another try may; `fatal`: no other call to the model will either.
    `after` are the seconds that the endpoint asks to wait, `many` says that it has too many calls, `wrong` that it
    cannot take the request as it was made, with `said` its words about that."""

    failure: CompletionFailure
    reason: str
    again: bool = False
    fatal: bool = False
    after: float | None = None
    many: bool = False
    wrong: bool = False
    said: str = ""


@cache
def _trusted() -> ssl.SSLContext:
    """Certificates, read once per process: it takes longer than all else that a client needs."""
    return httpx.create_ssl_context()


def client(url: str, settings: Settings) -> httpx.AsyncClient:
    """A client for the tries of one call. It follows no redirects: they would take the key elsewhere."""
    secure = _trusted() if url.startswith("https:") else False
    timeout = httpx.Timeout(None, connect=settings.connect)
    return httpx.AsyncClient(verify=secure, timeout=timeout, follow_redirects=False)


async def ask(
    http: httpx.AsyncClient,
    url: str,
    headers: Mapping[str, str],
    body: Mapping[str, Any],
    settings: Settings,
    answer: Answer,
) -> None:
    """Send one request and fill the answer; raises `Trouble`. What has come before a failure stays in the answer."""
    began = time.perf_counter()
    streamed = bool(body.get("stream"))
    patience = settings.first_token if streamed else float("inf")
    try:
        with anyio.CancelScope(deadline=anyio.current_time() + patience) as silence:
            async with http.stream("POST", url, headers=dict(headers), json=dict(body)) as response:
                if response.status_code != 200:
                    data = await _some(response, 64_000)
                    raise of_status(response.status_code, data, response.headers, url)
                if "text/event-stream" in response.headers.get("content-type", ""):
                    await _stream(response, settings, answer, began, silence)
                else:
                    silence.deadline = float("inf")
                    await _whole(response, settings, answer, began)
    except httpx.ConnectTimeout:
        raise Trouble("unreachable", f"{url} takes no connection in {settings.connect:g} s", again=True) from None
    except httpx.ConnectError as error:
        raise Trouble("unreachable", f"cannot connect to {url}: {error}", again=True) from None
    except (httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
        raise Trouble("unreachable", f"{url} is no address: {error}", fatal=True) from None
    except httpx.RequestError as error:
        what = str(error) or type(error).__name__
        raise Trouble("protocol", f"{url} dropped the connection: {what}", again=True) from None
    if silence.cancelled_caught:
        waited = settings.between_tokens if answer.begun else settings.first_token
        what = "fell silent" if answer.begun else "said nothing"
        raise Trouble("timeout", f"{url} {what} for {waited:g} s", again=True)
    _judge(answer, url)


async def _some(response: httpx.Response, most: int) -> bytes:
    data = b""
    async for piece in response.aiter_bytes():
        data += piece
        if len(data) >= most:
            break
    return data[:most]


async def _whole(response: httpx.Response, settings: Settings, answer: Answer, began: float) -> None:
    most = settings.largest * LINE
    data = await _some(response, most)
    if len(data) >= most:
        raise Trouble("protocol", f"{response.url} answered with more than {most} bytes")
    answer.first_token = time.perf_counter() - began
    try:
        answer.take(json.loads(data))
    except (ValueError, RecursionError):
        raise _broken(response.url, data) from None
    answer.complete = True


async def _stream(
    response: httpx.Response, settings: Settings, answer: Answer, began: float, silence: anyio.CancelScope
) -> None:
    lines = Lines()
    async for piece in response.aiter_bytes():
        for data in lines.feed(piece):
            if data == b"[DONE]":
                answer.complete = True
                return
            try:
                answer.take(json.loads(data))
            except (ValueError, RecursionError):
                raise _broken(response.url, data) from None
            if answer.cut or answer.error is not None:
                return
            if answer.begun:
                silence.deadline = anyio.current_time() + settings.between_tokens
                if answer.first_token is None:
                    answer.first_token = time.perf_counter() - began
        if lines.held() > settings.largest * LINE:
            raise Trouble("protocol", f"{response.url} sent a line of more than {settings.largest * LINE} bytes")


def _broken(url: object, data: bytes) -> Trouble:
    shown = data[:120].decode("utf-8", "replace")
    return Trouble("protocol", f"{url} answered with something that is no JSON: {shown!r}", again=True)


def _judge(answer: Answer, url: str) -> None:
    """Raise for an answer that is none."""
    if answer.error is not None:
        code, said = words_of_error(answer.error)
        status = 429 if "rate_limit" in code else 500
        if code.isdecimal() and 400 <= int(code) < 600:
            status = int(code)
        raise of_words(status, code, said, url, None)
    if answer.refusal or answer.finish == "content_filter":
        raise Trouble("refused", f"the model refused: {answer.refusal or 'content filter'}")
    if answer.finish == "error":
        raise Trouble("server", f"{url} ended its answer with an error", again=True)
    if not answer.complete:
        raise Trouble("protocol", f"{url} ended its answer in the middle", again=True)


def of_status(status: int, data: bytes, headers: Mapping[str, str], url: str) -> Trouble:
    """What an answer that is no success means."""
    code, said = words_of(data)
    return of_words(status, code, said, url, wait_of(headers))


def of_words(status: int, code: str, said: str, url: str, after: float | None) -> Trouble:
    """The same, from the error's code and words."""
    told = f"{url} answered {status}: {said or code or 'nothing more'}"
    words = f"{code} {said}".lower()
    if status in (400, 403) and any(sign in words for sign in _REFUSED):
        return Trouble("refused", told)
    if status in (401, 403):
        return Trouble("auth", told, fatal=True)
    if status == 402 or (status == 429 and any(sign in words for sign in _QUOTA)):
        return Trouble("rate", f"{told} (the account has nothing left)", fatal=True)
    if status == 429:
        return Trouble("rate", told, again=True, after=after, many=True)
    if status == 404:
        hint = "; is the model's name right, and does the base URL end where /chat/completions begins (often in /v1)?"
        return Trouble("model", told + hint, fatal=True, wrong="parameter" in words, said=said)
    if status in (408, 409, 425) or status >= 500:
        return Trouble("server", told, again=True, after=after, many=status in (503, 529))
    if 300 <= status < 400:
        return Trouble("request", f"{told} (redirects are not followed: correct the base URL)", fatal=True)
    return Trouble("request", told, wrong=status in (400, 422), said=said)


def wait_of(headers: Mapping[str, str]) -> float | None:
    """Seconds that an answer asks to wait before the next try: Retry-After in seconds or as a date; None without."""
    try:
        if text := headers.get("retry-after-ms", ""):
            return max(0.0, float(text) / 1000)
        text = headers.get("retry-after", "").strip()
        if not text:
            return None
        return max(0.0, float(text))
    except ValueError:
        pass  # a date, or nonsense
    try:
        return max(0.0, email.utils.parsedate_to_datetime(text).timestamp() - time.time())
    except (ValueError, TypeError):
        return None
