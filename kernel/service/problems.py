"""What a client is told when it does not get what it asked for: a status as HTTP has them, a title and one sentence.

Both fronts (`micro`, `http`) say the same. Errors of the kernel are put into a status here; what is nobody's fault but
ours is told as such, without its text, which may name what is not the client's business.
"""

from __future__ import annotations

from http import HTTPStatus

import structlog

from gome.kernel.errors import ArtifactMissing, GomeError, LogUnreachable, PluginError, UnknownRun, UsageError


class Refused(GomeError):
    """A client's request is refused, with a status such as 404 and a sentence that says what to do."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status = status


def problem(error: Exception) -> tuple[int, str, str]:
    """Status, title and detail of an error, as RFC 9457 has them."""
    match error:
        case Refused():
            status, detail = error.status, str(error)
        case UnknownRun() | ArtifactMissing():
            status, detail = 404, str(error)
        case UsageError() | PluginError():
            status, detail = 422, str(error)
        case LogUnreachable():
            status, detail = 503, "the event log does not answer; try again"
        case _:
            structlog.get_logger("gome.service").error("a request failed", exc_info=error)
            status, detail = 500, "the service failed; its diagnostics say why"
    return status, HTTPStatus(status).phrase, detail
