"""Diagnostics: what operators read about a working process. Never facts (those are events), never secrets.

`configure` sets structlog up once, at the start of a command; `logger` hands out loggers, bound to a run and an event
where there is one. `redact` takes secrets out of any text; every line passes through it, and so should the message of
every error that comes from outside. structlog is imported on first use: it costs 70 ms.
"""

from __future__ import annotations

import json
import os
import re
import sys
import threading
from collections.abc import Callable, Mapping, MutableMapping
from typing import TYPE_CHECKING, Any, TextIO, cast

if TYPE_CHECKING:
    import structlog

    from gome.events import Event

LEVELS: dict[str, int] = {"debug": 10, "info": 20, "warning": 30, "error": 40}
"""Names of levels in settings, and their ranks."""
HIDDEN = "***"
_TELLING = re.compile(r"KEY|TOKEN|SECRET|PASSWORD", re.IGNORECASE)
_PLAIN = re.compile(r"[\d.,:+-]*|true|false|yes|no|on|off|none|null|auto|default", re.IGNORECASE)
_USERINFO = re.compile(r"(?<=://)[^/\s@]+(?=@)")
_learnt: set[str] = set()
_lock = threading.Lock()


def learn(secret: str) -> None:
    """Keep a secret that is in no variable (a server's token, a line of the secrets file) out of all diagnostics."""
    if len(secret) >= 4 and not _PLAIN.fullmatch(secret):
        with _lock:
            _learnt.add(secret)


def secrets_in(environ: Mapping[str, str]) -> set[str]:
    """Return the values of variables whose names contain KEY, TOKEN, SECRET or PASSWORD. Numbers, switches (such as
    TOKENIZERS_PARALLELISM=false) and values of fewer than four characters are none."""
    named = (value for name, value in environ.items() if _TELLING.search(name))
    return {value for value in named if len(value) >= 4 and not _PLAIN.fullmatch(value)}


def known_secrets() -> set[str]:
    """Return every secret that this process knows: values of telling variables, and learnt ones."""
    with _lock:
        return _learnt | secrets_in(os.environ)


def redact(text: str) -> str:
    """Return the text with every secret replaced by `***`: values of telling variables, learnt ones, and what URLs
    carry before their `@`; also where JSON has escaped them."""
    known = known_secrets()
    for secret in sorted(known | {json.dumps(s)[1:-1] for s in known}, key=len, reverse=True):
        text = text.replace(secret, HIDDEN)
    return _USERINFO.sub(HIDDEN, text)


def configure(level: str = "info", *, stream: TextIO | None = None, terminal: bool | None = None) -> None:
    """Send diagnostics of `level` and above to `stream` (standard error): as text for people on a terminal, as one
    JSON object per line otherwise. `terminal` decides instead of asking the stream."""
    import structlog

    out = stream if stream is not None else sys.stderr
    people = out.isatty() if terminal is None else terminal
    render: Callable[[Any, str, MutableMapping[str, Any]], str | bytes]
    if people:
        render = structlog.dev.ConsoleRenderer(
            colors="NO_COLOR" not in os.environ, exception_formatter=structlog.dev.plain_traceback
        )
    else:
        render = structlog.processors.JSONRenderer(serializer=_json)

    def rendered(logger: Any, method: str, event: MutableMapping[str, Any]) -> str:
        line = render(logger, method, {key: _redacted(value) for key, value in event.items()})
        return redact(line if isinstance(line, str) else line.decode())

    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.StackInfoRenderer(),
            structlog.processors.format_exc_info,
            rendered,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(LEVELS[level]),
        logger_factory=structlog.PrintLoggerFactory(out),
        cache_logger_on_first_use=False,
    )


def logger(run: str = "", event: Event | None = None, **more: Any) -> structlog.stdlib.BoundLogger:
    """Return a logger bound to what is known: run, event id and position, causation and correlation ids. (`event` is
    structlog's own name for the message, so the id is `event_id`.)"""
    import structlog

    bound: dict[str, Any] = {"run": run} if run else {}
    if event is not None:
        bound |= {"event_id": event.id[:12], "seq": event.seq}
        bound |= {"causation": event.cause[:12]} if event.cause else {}
        bound |= {"correlation": event.corr[:12]} if event.corr else {}
    return cast("structlog.stdlib.BoundLogger", structlog.get_logger().bind(**bound, **more))


def _redacted(value: Any) -> Any:
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, Mapping):
        return {_redacted(k): _redacted(v) for k, v in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_redacted(v) for v in value]
    if value is None or isinstance(value, (bool, int, float)):
        return value
    return redact(str(value))


def _json(event: Any, **_: Any) -> str:
    return json.dumps(event, ensure_ascii=False, default=str)
