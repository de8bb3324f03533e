"""What is said about runs that others submit: what is asked for, that it was taken, and how it ended. Plain values.

A submission and its end are records in the stream that `submissions` keeps; everything between them is in the run's own
log. The id of a run is computed from tenant and the client's nonce, so submitting twice is submitting once.
"""

from __future__ import annotations

import hashlib
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct, field, structs

from gome.events import Budget
from gome.kernel.request import DEFAULT_SECONDS

Nonce = Annotated[str, Meta(min_length=8, max_length=200)]
Name = Annotated[str, Meta(max_length=200)]
Outcome = Literal["done", "stopped", "failed"]


class Options(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What may be said about a task beside its name, as `gome run` has it."""

    target: Name = ""
    metric: Name = ""
    id: Name = ""
    group: Name = ""
    time_column: Name = ""
    drop: tuple[Name, ...] = ()
    split_seed: int | None = None


class Submission(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A run that somebody asks for. `nonce` is the client's, 8 to 200 characters: the same nonce is the same run.
    `traces` is None for the service's setting; `roles` maps roles to plugins; `settings` holds tables as gome.toml
    does, of those that the tenant may give."""

    task: Annotated[str, Meta(min_length=1, max_length=500)]
    nonce: Nonce
    seed: Annotated[int, Meta(ge=0, le=2**53)] = 0
    budget: Budget = Budget(seconds=DEFAULT_SECONDS)
    traces: Annotated[int, Meta(ge=1, le=1000)] | None = None
    roles: dict[str, Name] = field(default_factory=dict)
    profile: Name = ""
    model: Name = ""
    options: Options = Options()
    settings: dict[str, dict[str, Any]] = field(default_factory=dict)


class Exact(Struct, frozen=True, omit_defaults=True):
    """How a run is begun to the letter, whatever the settings of the service that begins it: `settings` of the
    submission are all there are. No client can ask for it; whoever may write to the stream can (a bench does).
    `profile` is a name to be recorded, `test` a second table of the task ("": none)."""

    capacity: int
    profile: str = ""
    fallback: str = ""
    test: str = ""


class Submitted(Struct, frozen=True, tag=True, omit_defaults=True):
    """A submission was taken, at seconds since 1970."""

    run: str
    tenant: str
    at: float
    submission: Submission
    exact: Exact | None = None


class Spent(Struct, frozen=True, omit_defaults=True):
    """What runs have used, in the currencies of budgets."""

    seconds: float = 0.0
    steps: int = 0
    executions: int = 0
    execution_seconds: float = 0.0
    completions: int = 0
    tokens: int = 0
    money: float = 0.0

    def plus(self, other: Spent) -> Spent:
        """Both together."""
        return Spent(**{name: getattr(self, name) + getattr(other, name) for name in self.__struct_fields__})


NOTHING = Spent()


class Ended(Struct, frozen=True, tag=True, omit_defaults=True):
    """A submission came to its end; `summary` is that of `gome run --json`, {} where no run began. `reason` says why it
    ended so."""

    run: str
    tenant: str
    at: float
    outcome: Outcome
    reason: str = ""
    spent: Spent = NOTHING
    summary: dict[str, Any] = field(default_factory=dict)


class Entry(Struct, frozen=True):
    """A submission with its end, None while it waits or is open; `position` orders the submissions of a stream."""

    submitted: Submitted
    ended: Ended | None
    position: int


def unknown_limits(budget: Any) -> str:
    """What is wrong with the names of a budget that somebody wrote; "" for none. Events forgive fields that they do not
    know; a limit that nobody keeps must not be taken for one."""
    known = [f.name for f in structs.fields(Budget)]
    names = [name for name in budget if name not in known] if isinstance(budget, dict) else []
    return f"budget.{names[0]}: there is no such limit; there are {', '.join(known)}" if names else ""


def run_of(tenant: str, nonce: str) -> str:
    """The id of a run: no two tenants can name the same one."""
    mark = hashlib.sha256(f"{tenant}\0{nonce}".encode()).hexdigest()[:20]
    return f"{tenant[:40]}-{mark}"


def same_request(one: Submission, other: Submission) -> bool:
    """Whether two submissions ask for the same."""
    return msgspec.json.encode(one, order="deterministic") == msgspec.json.encode(other, order="deterministic")
