"""The errors people meet, each calling for one reaction. Failures of the agent's own work are events, not errors.

    GomeError                    exit 1
    ├── UsageError               exit 2   the command, task or settings are wrong: change them
    │   ├── UnknownRun           exit 2   no such run in this log: see `gome runs`
    │   └── RunAlive             exit 2   another process drives the run: watch it with `gome tail`
    ├── LogUnreachable           exit 3   no server: start one, or check URL and token (`gome doctor`)
    │   ├── Forbidden            exit 3   the server knows us and does not permit it: use other credentials
    │   └── AppendUnknown        exit 3   an append may or may not have landed and the head cannot be read
    ├── Conflict                 exit 1   somebody else wrote first: read the new head, seal again
    ├── LogDamaged               exit 4   a record is missing or altered: restore from an export
    ├── OversizeRecord           exit 1   one decision says more than a message may hold
    ├── ArtifactMissing          exit 1   bytes named by an event are not in the store
    ├── PluginError              exit 2   a plugin cannot be loaded, found or does not fit
    ├── Diverged                 exit 4   a decision computed again differs from the recorded one
    ├── ChildEffectFailed        exit 1   what an effect asked for failed for good, was called off or is beyond budget
    └── SandboxUnavailable       exit 1   programs cannot be isolated here (see `gome doctor`, or `--unsafe`)

Messages say what happened, where, and what to try.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gome.events import Head


class GomeError(Exception):
    """Base of all; `exit_code` is what the command line ends with."""

    exit_code = 1


class UsageError(GomeError):
    """The command, the task or the settings cannot mean anything; change them."""

    exit_code = 2


class UnknownRun(UsageError):
    """The log holds no run of this id."""


class RunAlive(UsageError):
    """Another process drives the run."""


class LogUnreachable(GomeError):
    """The event log's server does not answer or refuses us."""

    exit_code = 3


class Forbidden(LogUnreachable):
    """The server knows who we are and does not permit what was asked."""


class AppendUnknown(LogUnreachable):
    """An append may or may not have landed: the head could not be read afterwards."""


class Conflict(GomeError):
    """Compare-and-swap failed: the run's head is not where the writer believed but at `head`."""

    def __init__(self, message: str, head: Head) -> None:
        super().__init__(message)
        self.head = head


class LogDamaged(GomeError):
    """A record is missing, altered or out of order; `run` and `position` say where."""

    exit_code = 4

    def __init__(self, message: str, *, run: str = "", position: int = 0) -> None:
        super().__init__(message)
        self.run = run
        self.position = position


class OversizeRecord(GomeError):
    """A record does not fit into one message even after long texts were moved out."""


class ArtifactMissing(GomeError):
    """The content-addressed store does not hold a digest that an event names."""


class PluginError(GomeError):
    """A plugin cannot be loaded or found, or does not fit its role."""

    exit_code = 2


class SandboxUnavailable(GomeError):
    """No sandbox can be made here and none may be done without."""


class ChildEffectFailed(GomeError):
    """A child intent made with `context.call` failed for good, was called off, or the budget does not allow it."""


class Diverged(GomeError):
    """A decision computed again differs from the recorded one."""

    exit_code = 4


def leaves(error: BaseException) -> list[BaseException]:
    """The errors inside nested exception groups, in order; an error that is no group is its own leaf."""
    if not isinstance(error, BaseExceptionGroup):
        return [error]
    return [leaf for each in error.exceptions for leaf in leaves(each)]
