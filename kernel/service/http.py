"""The service over HTTP: the operations as resources, described by OpenAPI 3.1, with bearer tokens. Needs gome[serve].

    POST /v1/runs                     submit (201, or 200 for a nonce that was used)
    GET  /v1/runs?after=P&limit=N     list
    GET  /v1/runs/RUN                 status
    GET  /v1/runs/RUN/result          how it ended (409 while it is open)
    GET  /v1/runs/RUN/files/NAME      best_program.py, submission.csv, REPORT.md
    POST /v1/runs/RUN/stop            ask it to end
    GET  /v1/runs/RUN/events          server-sent events, from `Last-Event-ID` on
    GET  /openapi.json, /health       for everybody

Errors are `application/problem+json` (RFC 9457). The home of starlette and uvicorn.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from importlib import metadata
from typing import Any

import msgspec

from gome.kernel.errors import UsageError
from gome.kernel.service.operations import FILES, Operations, Status
from gome.kernel.service.problems import Refused, problem
from gome.kernel.service.requests import LIMIT
from gome.kernel.service.submission import Submission
from gome.kernel.service.submissions import PAGE
from gome.kernel.service.tenants import Tenant, Tenants

try:
    import uvicorn
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response, StreamingResponse
    from starlette.routing import Route
except ImportError as missing:
    raise UsageError("--http needs an extra package: pip install 'gome[serve]'") from missing

BEAT = 15.0
"""Seconds of silence after which a stream of events says that it is alive."""
Answering = Callable[[Request, Tenant], Awaitable[Response]]


def application(operations: Operations, tenants: Tenants) -> Starlette:
    """The ASGI application."""
    front = _Front(operations, tenants)
    run = "/v1/runs/{run}"
    routes = [
        Route("/v1/runs", front.of(front.submit), methods=["POST"]),
        Route("/v1/runs", front.of(front.list), methods=["GET"]),
        Route(run, front.of(front.status), methods=["GET"]),
        Route(f"{run}/result", front.of(front.result), methods=["GET"]),
        Route(f"{run}/files/{{name}}", front.of(front.file), methods=["GET"]),
        Route(f"{run}/stop", front.of(front.stop), methods=["POST"]),
        Route(f"{run}/events", front.of(front.events), methods=["GET"]),
        Route("/openapi.json", _openapi, methods=["GET"]),
        Route("/health", front.health, methods=["GET"]),
    ]
    handlers: dict[Any, Any] = {404: _unknown, 405: _unknown}
    return Starlette(routes=routes, exception_handlers=handlers)


@contextlib.asynccontextmanager
async def answering(operations: Operations, tenants: Tenants, host: str, port: int) -> AsyncIterator[tuple[str, int]]:
    """Answer at a place (port 0: any free one) for the length of the block; yields where. Raises `UsageError` when the
    place cannot be had."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
        listening.listen(128)  # now: whoever reads the address may connect before the server has begun
    except OSError as error:
        listening.close()
        raise UsageError(f"--http {host}:{port}: {error.strerror}") from error
    config = uvicorn.Config(
        application(operations, tenants),
        log_config=None,
        access_log=False,
        lifespan="off",
        server_header=False,
        timeout_graceful_shutdown=1,
        h11_max_incomplete_event_size=32_768,
        limit_concurrency=1000,
    )
    server = _Server(config)
    serving = asyncio.create_task(server.serve(sockets=[listening]), name="gome http")
    try:
        yield host, int(listening.getsockname()[1])
    finally:
        server.should_exit = True
        await serving
        listening.close()


class _Server(uvicorn.Server):
    """uvicorn's server without its signal handlers: signals are the service's."""

    @contextlib.contextmanager
    def capture_signals(self) -> Any:
        yield


class _Front:
    """Operations as answers to requests."""

    def __init__(self, operations: Operations, tenants: Tenants) -> None:
        self._operations = operations
        self._tenants = tenants

    def of(self, answer: Answering) -> Callable[[Request], Awaitable[Response]]:
        """A handler that knows the tenant, and tells errors as problems."""

        async def handler(request: Request) -> Response:
            try:
                kind, _, token = request.headers.get("authorization", "").partition(" ")
                tenant = self._tenants.bearer(token.strip() if kind.lower() == "bearer" else "")
                return await answer(request, tenant)
            except Exception as error:
                return _problem(*problem(error))

        return handler

    async def submit(self, request: Request, tenant: Tenant) -> Response:
        status, fresh = await self._operations.submit(tenant, await _body(request))
        return _json(status, 201 if fresh else 200, {"Location": f"/v1/runs/{status.run}"})

    async def list(self, request: Request, tenant: Tenant) -> Response:
        after, limit = _number(request, "after", 0), _number(request, "limit", 20)
        found = await self._operations.list(tenant, after, limit)
        return _json({"runs": found, "next": found[-1].position if len(found) == limit else None})

    async def status(self, request: Request, tenant: Tenant) -> Response:
        return _json(await self._operations.status(tenant, request.path_params["run"]))

    async def result(self, request: Request, tenant: Tenant) -> Response:
        return _json(await self._operations.result(tenant, request.path_params["run"]))

    async def file(self, request: Request, tenant: Tenant) -> Response:
        name = request.path_params["name"]
        data = await self._operations.file(tenant, request.path_params["run"], name)
        return Response(data, media_type=FILES[name], headers={"X-Content-Type-Options": "nosniff"})

    async def stop(self, request: Request, tenant: Tenant) -> Response:
        body = await _body(request)
        try:
            reason = msgspec.json.decode(body or b"{}", type=dict[str, str]).get("reason", "")
        except msgspec.DecodeError as error:
            raise Refused(422, f'this cannot be read: {error}; send {{"reason": "…"}} or nothing') from None
        return _json(await self._operations.stop(tenant, request.path_params["run"], reason))

    async def events(self, request: Request, tenant: Tenant) -> Response:
        run = request.path_params["run"]
        last = request.headers.get("last-event-id", "")
        await self._operations.status(tenant, run)
        after = int(last) if last.isdecimal() and len(last) < 16 else _number(request, "after", 0)
        headers = {"Cache-Control": "no-store"}
        return StreamingResponse(self._stream(tenant, run, after), media_type="text/event-stream", headers=headers)

    async def _stream(self, tenant: Tenant, run: str, after: int) -> AsyncGenerator[bytes, None]:
        async with aclosing(self._operations.tail(tenant, run, after)) as lines:
            coming = asyncio.ensure_future(anext(lines, None))
            try:
                while True:
                    await asyncio.wait([coming], timeout=BEAT)
                    if not coming.done():
                        yield b": alive\n\n"
                        continue
                    line = coming.result()
                    if line is None:
                        yield b"event: end\ndata: {}\n\n"
                        return
                    data = msgspec.json.encode(line)
                    yield b"id: %d\nevent: %s\ndata: %s\n\n" % (line["seq"], line["type"].encode(), data)
                    coming = asyncio.ensure_future(anext(lines, None))
            except Exception as error:
                status, title, detail = problem(error)
                told = msgspec.json.encode({"status": status, "title": title, "detail": detail})
                yield b"event: problem\ndata: %s\n\n" % told
            finally:
                coming.cancel()
                await asyncio.gather(coming, return_exceptions=True)

    async def health(self, request: Request) -> Response:
        """For load balancers: 503 while this service leaves, or the log does not answer."""
        try:
            found = await self._operations.health()
        except Exception as error:
            return _problem(*problem(error))
        return _json(found, 503 if found["draining"] else 200)


async def _body(request: Request) -> bytes:
    """The body, of which no more is read than a request may have."""
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > LIMIT:
            raise Refused(413, f"a request may have {LIMIT:,} bytes, and this one has more")
    return body


def _number(request: Request, name: str, default: int) -> int:
    given = request.query_params.get(name, str(default))
    if not given.isdecimal() or len(given) > 15:
        raise Refused(422, f"{name} is a whole number of at least 0")
    return int(given)


def _json(value: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(msgspec.json.encode(value), status, headers, "application/json")


def _problem(status: int, title: str, detail: str) -> Response:
    value = {"type": "about:blank", "title": title, "status": status, "detail": detail}
    headers = {"WWW-Authenticate": "Bearer"} if status == 401 else None
    return Response(msgspec.json.encode(value), status, headers, "application/problem+json")


async def _unknown(request: Request, error: Exception) -> Response:
    status = int(getattr(error, "status_code", 404))
    return _problem(
        status, "Not Found" if status == 404 else "Method Not Allowed", "see /openapi.json for what there is"
    )


async def _openapi(request: Request) -> Response:
    return _json(description())


def description() -> dict[str, Any]:
    """The OpenAPI description, its schemas generated from the structs that are decoded and encoded."""
    (_, _), schemas = msgspec.json.schema_components([Submission, Status], ref_template="#/components/schemas/{name}")
    schemas["Problem"] = {
        "type": "object",
        "required": ["title", "status", "detail"],
        "properties": {"title": {"type": "string"}, "status": {"type": "integer"}, "detail": {"type": "string"}},
    }
    status = {"$ref": "#/components/schemas/Status"}
    page = {"type": "object", "properties": {"runs": {"type": "array", "items": status}, "next": {"type": "integer"}}}
    run = {"name": "run", "in": "path", "required": True, "schema": {"type": "string"}}
    name = {"name": "name", "in": "path", "required": True, "schema": {"enum": list(FILES)}}
    after = {"name": "after", "in": "query", "schema": {"type": "integer", "minimum": 0}}
    limit = {"name": "limit", "in": "query", "schema": {"type": "integer", "minimum": 1, "maximum": PAGE}}
    reason = {"type": "object", "properties": {"reason": {"type": "string"}}}
    one = "/v1/runs/{run}"
    paths = {
        "/v1/runs": {
            "post": _operation("submit", {200: status, 201: status}, body={"$ref": "#/components/schemas/Submission"}),
            "get": _operation("list", {200: page}, [after, limit]),
        },
        one: {"get": _operation("status", {200: status}, [run])},
        f"{one}/result": {"get": _operation("result", {200: {"type": "object"}}, [run])},
        f"{one}/files/{{name}}": {"get": _operation("file", {200: None}, [run, name])},
        f"{one}/stop": {"post": _operation("stop", {200: {"type": "object"}}, [run], reason)},
        f"{one}/events": {"get": _operation("events", {200: None}, [run, after])},
        "/health": {"get": {**_operation("health", {200: {"type": "object"}}), "security": []}},
    }
    bearer = {"bearer": {"type": "http", "scheme": "bearer"}}
    return {
        "openapi": "3.1.0",
        "info": {"title": "gome", "version": metadata.version("gome")},
        "security": [{"bearer": []}],
        "paths": paths,
        "components": {"schemas": schemas, "securitySchemes": bearer},
    }


def _operation(
    id: str, answers: dict[int, Any], parameters: list[Any] | None = None, body: dict[str, Any] | None = None
) -> dict[str, Any]:
    failed = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    responses: dict[str, Any] = {"default": {"description": "a problem", "content": failed}}
    for status, schema in answers.items():
        content = {"application/json": {"schema": schema}} if schema else {}
        responses[str(status)] = {"description": "as asked", **({"content": content} if content else {})}
    found: dict[str, Any] = {"operationId": id, "responses": responses, "parameters": parameters or []}
    if body is not None:
        found["requestBody"] = {"required": id == "submit", "content": {"application/json": {"schema": body}}}
    return found
