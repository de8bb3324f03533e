"""A language-model endpoint for tests: a real HTTP server that speaks `/chat/completions` and misbehaves on command.

    with LLMServer("hello") as server:                       # every call is answered "hello"
        … base_url=server.url, model="any" …
        assert server.calls[0].user == "…"

What is answered is scripted. A *reply* is a text, a JSON value (sent as its text), a `Reply` (everything that can be
said or go wrong), or a function of the `Call` that returns one of these. Replies are used in order; the last one is
repeated for ever, so one reply answers every call.

    server = LLMServer("first", "second and later")          # for calls that no rule matches
    server.on("challenges", {"challenges": []})              # calls whose schema name, system or user text has the word
    server.on(lambda call: call.number == 3, Reply(status=500), "fine")

    Reply("text", model="served-model", finish="length", tokens_in=10, tokens_out=5, cached=2, reasoning_tokens=3)
    Reply("text", usage=False)                               # an endpoint that counts nothing
    Reply("answer", thoughts="hm")                           # reasoning_content beside the text
    Reply(status=429, headers={"Retry-After": "1"})          # an error; `error` is its message, a text or a whole body
    Reply("text", stall="headers" | "first" | "middle")      # says nothing from there on until the client hangs up
    Reply("text", cut=True)                                  # hangs up in the middle
    Reply(raw=b"<html>")                                     # this body, whatever it is

What the endpoint is like: `key` (refuses others with 401 and echoes what it got), `azure` (wants an `api-key` header
and `api-version`), `models` (404 for others), `refuses` (400 for these parameters, or for `json_schema`, `json_object`,
`stream`, `system`: names, or names with the message). `calls` is the journal of every request, refused ones included;
`served` has those that came to a scripted reply. A call that nothing is scripted for gets status 501.
`wait_for(n)` waits until n requests have arrived; `Call.gone` is set when the client has hung up on a stalled one.
No sleeping anywhere: stalls end when the client hangs up or the server stops.
"""

from __future__ import annotations

import json
import select
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal, Self
from urllib.parse import parse_qs, urlsplit


@dataclass(frozen=True)
class Reply:
    """One answer; see the module's text. `text` is split into `pieces` chunks when it is streamed."""

    text: str = ""
    model: str = ""
    finish: str = "stop"
    tokens_in: int = 10
    tokens_out: int = 5
    cached: int = 0
    reasoning_tokens: int = 0
    usage: bool = True
    thoughts: str = ""
    refusal: str = ""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    error: str | Mapping[str, Any] = "scripted"
    stall: Literal["", "headers", "first", "middle"] = ""
    cut: bool = False
    raw: bytes | None = None
    pieces: int = 4


@dataclass
class Call:
    """One request as it came. `number` counts from 0 over all requests; header names are in lower case."""

    number: int
    path: str
    query: dict[str, list[str]]
    headers: dict[str, str]
    body: dict[str, Any]
    reply: Reply | None = None
    gone: threading.Event = field(default_factory=threading.Event)

    @property
    def model(self) -> str:
        """The model asked."""
        return str(self.body.get("model", ""))

    @property
    def system(self) -> str:
        """The instructions, under whichever role they came."""
        return "\n".join(m["content"] for m in self.body["messages"] if m["role"] in ("system", "developer"))

    @property
    def user(self) -> str:
        """The last message of the user."""
        return next((m["content"] for m in reversed(self.body["messages"]) if m["role"] == "user"), "")

    @property
    def mode(self) -> str:
        """`json_schema`, `json_object` or `text`."""
        return str(self.body.get("response_format", {}).get("type", "text"))

    @property
    def schema(self) -> dict[str, Any]:
        """The JSON schema that is enforced, {} when none is."""
        return dict(self.body.get("response_format", {}).get("json_schema", {}).get("schema", {}))

    @property
    def schema_name(self) -> str:
        """The name of the schema that is enforced: gome sends the name of the call."""
        return str(self.body.get("response_format", {}).get("json_schema", {}).get("name", ""))


Scripted = Any
"""A text, a JSON value, a `Reply`, or a function of the `Call` that returns one of these."""


class _Script:
    """Replies in order; the last one is repeated."""

    def __init__(self, replies: Iterable[Scripted]) -> None:
        self.left = list(replies)

    def next(self) -> Scripted:
        return self.left.pop(0) if len(self.left) > 1 else self.left[0]


class LLMServer:
    """The endpoint; a context manager that serves on a free port of the loopback device in threads of its own."""

    def __init__(
        self,
        *replies: Scripted,
        key: str = "",
        azure: bool = False,
        models: Iterable[str] = (),
        refuses: Iterable[str] | Mapping[str, str] = (),
    ) -> None:
        self.key, self.azure, self.models = key, azure, tuple(models)
        self.refuses = dict(refuses) if isinstance(refuses, Mapping) else dict.fromkeys(refuses, "")
        self.calls: list[Call] = []
        self._rules: list[tuple[Callable[[Call], bool], _Script]] = []
        self._default = _Script(replies) if replies else None
        self._changed = threading.Condition()
        self._stopping = threading.Event()
        self._http = _Listener(("127.0.0.1", 0), _Handler)
        self._http.endpoint = self
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *reason: object) -> None:
        self._stopping.set()
        self._http.shutdown()
        self._thread.join()
        self._http.server_close()

    @property
    def root(self) -> str:
        """`http://127.0.0.1:PORT`."""
        return f"http://127.0.0.1:{self._http.server_address[1]}"

    @property
    def url(self) -> str:
        """The base URL that clients of OpenAI's API are given."""
        return f"{self.root}/v1"

    @property
    def served(self) -> list[Call]:
        """Calls that came to a scripted reply."""
        return [call for call in self.calls if call.reply is not None]

    def on(self, match: str | Callable[[Call], bool], *replies: Scripted) -> Self:
        """Script replies for calls that match: a predicate, or a word in the schema's name, system or user text. Rules
        are tried in the order they were made."""
        if isinstance(match, str):
            word = match
            self._rules.append((lambda c: word in f"{c.schema_name}\n{c.system}\n{c.user}", _Script(replies)))
        else:
            self._rules.append((match, _Script(replies)))
        return self

    def wait_for(self, count: int, timeout: float = 20.0) -> None:
        """Wait until `count` requests have arrived; raises `TimeoutError`."""
        with self._changed:
            if not self._changed.wait_for(lambda: len(self.calls) >= count, timeout):
                raise TimeoutError(f"{len(self.calls)} of {count} requests have arrived in {timeout} s")

    def _arrived(self, path: str, headers: dict[str, str], body: dict[str, Any]) -> tuple[Call, Reply]:
        with self._changed:
            parts = urlsplit(path)
            call = Call(len(self.calls), parts.path, parse_qs(parts.query), headers, body)
            reply = self._refusal(call) or self._scripted(call)
            self.calls.append(call)
            self._changed.notify_all()
            return call, reply

    def _scripted(self, call: Call) -> Reply:
        script = next((script for match, script in self._rules if match(call)), self._default)
        if script is None:
            return Reply(status=501, error=f"nothing is scripted for this call: {call.user[:200]}")
        found = script.next()
        try:
            found = found(call) if callable(found) else found
        except Exception as error:  # in the test's own function: it should read about it, not about a lost connection
            return Reply(status=501, error=f"the scripted function raised {type(error).__name__}: {error}")
        if not isinstance(found, Reply):
            found = Reply(found if isinstance(found, str) else json.dumps(found))
        call.reply = found
        return found

    def _refusal(self, call: Call) -> Reply | None:
        body = call.body
        bearer = call.headers.get("authorization", "").removeprefix("Bearer ")
        sent = call.headers.get("api-key", "") if self.azure else bearer
        if not call.path.endswith("/chat/completions") or (self.azure and "api-version" not in call.query):
            return Reply(status=404, error="Resource not found")
        if self.key and sent != self.key:
            return Reply(status=401, error=_error(f"Incorrect API key provided: {sent}", code="invalid_api_key"))
        if self.models and call.model not in self.models:
            return Reply(status=404, error=_error(f"The model `{call.model}` does not exist", code="model_not_found"))
        for name, message in self.refuses.items():
            format = body.get("response_format", {}).get("type", "")
            there = {
                "json_schema": format == "json_schema",
                "json_object": format == "json_object",
                "stream": body.get("stream", False),
                "system": any(m["role"] == "system" for m in body["messages"]),
            }.get(name, name in body)
            if there:
                param = {"json_schema": "response_format", "json_object": "response_format"}.get(name, name)
                param = "messages[0].role" if name == "system" else param
                text = f"Unsupported parameter: '{param}' is not supported with this model."
                error = _error(message, code="invalid_value") if message else _error(text, param=param)
                return Reply(status=400, error=error)
        return None


def _error(message: str, code: str = "unsupported_parameter", param: str | None = None) -> dict[str, Any]:
    return {"error": {"message": message, "type": "invalid_request_error", "param": param, "code": code}}


class _Listener(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128
    endpoint: LLMServer


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # else kept connections wait 40 ms for an acknowledgement
    server: _Listener

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing on stderr."""

    def do_GET(self) -> None:
        models = [{"id": name, "object": "model"} for name in self.server.endpoint.models]
        self._whole(200, json.dumps({"object": "list", "data": models}).encode())

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        headers = {name.lower(): value for name, value in self.headers.items()}
        call, reply = self.server.endpoint._arrived(self.path, headers, body)
        try:
            self._answer(call, reply)
        except (BrokenPipeError, ConnectionResetError):
            call.gone.set()
            self.close_connection = True

    def _answer(self, call: Call, reply: Reply) -> None:
        if reply.stall == "headers":
            self._stall(call)
        elif reply.raw is not None:
            self._whole(reply.status, reply.raw, reply.headers)
        elif reply.status != 200:
            error = _error(reply.error, code="scripted") if isinstance(reply.error, str) else reply.error
            self._whole(reply.status, json.dumps(error).encode(), reply.headers)
        elif call.body.get("stream"):
            self._stream(call, reply)
        else:
            self._once(call, reply)

    def _once(self, call: Call, reply: Reply) -> None:
        message: dict[str, Any] = {"role": "assistant", "content": reply.text}
        message |= {"reasoning_content": reply.thoughts} if reply.thoughts else {}
        message |= {"refusal": reply.refusal, "content": None} if reply.refusal else {}
        choice = {"index": 0, "message": message, "finish_reason": reply.finish}
        whole = {"id": f"c{call.number}", "object": "chat.completion", "model": reply.model or call.model}
        whole |= {"choices": [choice], **({"usage": _usage(reply)} if reply.usage else {})}
        data = json.dumps(whole).encode()
        if not (reply.stall or reply.cut):
            self._whole(200, data, reply.headers)
            return
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if reply.stall != "first":
            self.wfile.write(data[: len(data) // 2])
        self._break(call, reply)

    def _stream(self, call: Call, reply: Reply) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream; charset=utf-8")
        self.send_header("Transfer-Encoding", "chunked")
        for name, value in reply.headers.items():
            self.send_header(name, value)
        self.end_headers()
        if reply.stall == "first":
            self._break(call, reply)
            return
        self._chunk(b": this is a comment\n\n")
        self._event(call, reply, {"role": "assistant", "content": ""})
        if reply.thoughts:
            self._event(call, reply, {"reasoning_content": reply.thoughts})
        size = max(1, -(-len(reply.text) // reply.pieces))
        pieces = [reply.text[i : i + size] for i in range(0, len(reply.text), size)]
        for place, piece in enumerate(pieces):
            if place == (len(pieces) + 1) // 2 and (reply.stall or reply.cut):
                self._break(call, reply)
                return
            self._event(call, reply, {"content": piece})
        if reply.refusal:
            self._event(call, reply, {"refusal": reply.refusal})
        if reply.stall or reply.cut:
            self._break(call, reply)
            return
        self._event(call, reply, {}, finish=reply.finish)
        if reply.usage and call.body.get("stream_options", {}).get("include_usage"):
            last = {"id": f"c{call.number}", "model": reply.model or call.model, "choices": [], "usage": _usage(reply)}
            self._chunk(f"data: {json.dumps(last)}\n\n".encode())
        self._chunk(b"data: [DONE]\n\n")
        self._chunk(b"")

    def _event(self, call: Call, reply: Reply, delta: dict[str, Any], finish: str | None = None) -> None:
        event = {"id": f"c{call.number}", "object": "chat.completion.chunk", "model": reply.model or call.model}
        event["choices"] = [{"index": 0, "delta": delta, "finish_reason": finish}]
        self._chunk(f"data: {json.dumps(event)}\n\n".encode())

    def _chunk(self, data: bytes) -> None:
        self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
        self.wfile.flush()

    def _whole(self, status: int, data: bytes, headers: Mapping[str, str] | None = None) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def _break(self, call: Call, reply: Reply) -> None:
        self.close_connection = True
        if reply.stall:
            self._stall(call)

    def _stall(self, call: Call) -> None:
        """Say nothing until the client hangs up or the server stops."""
        self.close_connection = True
        self.wfile.flush()
        while not self.server.endpoint._stopping.is_set():
            readable, _, _ = select.select([self.connection], [], [], 0.02)
            if readable and not self.connection.recv(1):
                call.gone.set()
                return


def _usage(reply: Reply) -> dict[str, Any]:
    return {
        "prompt_tokens": reply.tokens_in,
        "completion_tokens": reply.tokens_out,
        "total_tokens": reply.tokens_in + reply.tokens_out,
        "prompt_tokens_details": {"cached_tokens": reply.cached},
        "completion_tokens_details": {"reasoning_tokens": reply.reasoning_tokens},
    }
