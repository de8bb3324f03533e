"""The stream that a log lives in: its settings, making it, and refusing one that was made otherwise.

`gome.kernel.log_jetstream` prepares its stream here before it first uses it, and relies on what is set: no deleting, no
purging, reading from any server, and the republication that followers listen to.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gome.kernel.answers import ApiError, compression
from gome.kernel.errors import Forbidden, LogUnreachable, UsageError

if TYPE_CHECKING:
    from gome.kernel.jetstream import Connection


async def prepare(connection: Connection, stream: str, prefix: str, replicas: int, name: str) -> None:
    """Make sure that a stream exists, is held by `replicas` servers and has what a log relies on; `name` is the log's,
    for messages to people. Raises `LogUnreachable` where it cannot be made, `Forbidden` where we may not make it, and
    `UsageError` where it has other settings."""
    wanted = stream_config(stream, prefix, replicas)
    try:
        info = await connection.api(f"STREAM.INFO.{stream}")
    except ApiError as error:
        if error.status != 404:
            raise LogUnreachable(f"{name} cannot be used: {error}") from error
        try:
            info = await connection.create(wanted)
        except Forbidden as refusal:
            raise Forbidden(f"{name} is not there before a driver's first run; {refusal}") from refusal
        except ApiError as refusal:
            raise LogUnreachable(f"{name} cannot be created: {refusal}") from refusal
    config = (await connection.widen(info, replicas))["config"]
    for key in ("subjects", "allow_direct", "republish", "discard", "retention", "deny_delete", "deny_purge"):
        if config.get(key) != wanted[key]:
            raise UsageError(
                f"{name} was made with {key} = {config.get(key)!r}, and a log needs {wanted[key]!r}; "
                "name another stream or set it up anew"
            )


def stream_config(stream: str, prefix: str, replicas: int = 1) -> dict[str, Any]:
    """The settings of a log's stream: nothing can be deleted, a full disk refuses instead of forgetting."""
    wild = ".".join(["*"] * 4)
    places = ".".join(f"{{{{wildcard({i})}}}}" for i in range(1, 5))
    return {
        "name": stream,
        "subjects": [f"{prefix}.{wild}"],
        "storage": "file",
        "retention": "limits",
        "discard": "new",
        "compression": compression(replicas),
        "num_replicas": replicas,
        "deny_delete": True,
        "deny_purge": True,
        "allow_direct": True,
        "duplicate_window": 120_000_000_000,
        "republish": {"src": f"{prefix}.{wild}", "dest": f"{prefix}.live.{places}"},
    }
