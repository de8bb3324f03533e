"""From a submission to what `gome run` would have been asked: its checks, its settings, the request.

A client that reaches a service is trusted with less than a person at a terminal: it may not name files, nor settings
that its tenant was not given (one of them could send the service's key for a model somewhere else).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec

from gome.kernel.discovery import OPTIONAL_ROLES, RUN_ROLES, choose, discover
from gome.kernel.profiles import find_profile
from gome.kernel.request import DEFAULT_PROFILE, Request, resolve_settings
from gome.kernel.service.problems import Refused
from gome.kernel.service.submission import Exact, Submission, Submitted, unknown_limits
from gome.kernel.service.tenants import ALL, Tenant
from gome.kernel.settings import Settings, load
from gome.kernel.tasks import TaskOptions, find, sources

LIMIT = 128 * 1024
"""Bytes that a request may have."""


def decode(body: bytes) -> Submission:
    """A submission from JSON. Raises `Refused` (413, 422)."""
    if len(body) > LIMIT:
        raise Refused(413, f"a submission may have {LIMIT:,} bytes, and this one has {len(body):,}")
    try:
        submission = msgspec.json.decode(body, type=Submission)
    except msgspec.DecodeError as error:
        raise Refused(422, f"this is no submission: {error}") from None
    if wrong := unknown_limits(msgspec.json.decode(body).get("budget")):
        raise Refused(422, f"this is no submission: {wrong}")
    return submission


def check(submission: Submission, tenant: Tenant, settings: Settings) -> None:
    """Refuse what could not begin, while the client listens. Raises `Refused`, `UsageError`, `PluginError`."""
    for table in submission.settings:
        if not tenant.may_set(table):
            raise Refused(403, f"tenant {tenant.name} may not give settings of {table}; {_allowed(tenant.tables)}")
    if submission.model and not tenant.may_set("completion"):
        raise Refused(403, f"tenant {tenant.name} may not name a model; {_allowed(tenant.tables)}")
    known = {name for source in sources() for name, _ in source.names()}
    if submission.task not in known and submission.task not in tenant.tasks and ALL not in tenant.tasks:
        raise Refused(422, f"there is no task {submission.task!r} for tenant {tenant.name}; name one of `gome tasks`")
    for role in submission.roles:
        if role not in (*RUN_ROLES, *OPTIONAL_ROLES):
            raise Refused(422, f"there is no role {role!r}; roles are {', '.join((*RUN_ROLES, *OPTIONAL_ROLES))}")
    find(submission.task)
    request, mine = request_of(Submitted("checked", tenant.name, 0.0, submission), settings)
    resolve_settings(choose(discover(), request.named), request, mine)


def check_settings(settings: Settings) -> None:
    """Refuse settings of a service that no run could begin with, whatever a client asks for: before it offers itself.
    Raises `UsageError`, `PluginError`."""
    plugins = choose(discover(), settings.roles)
    model = "any" if any(plugin.role == "completion" for plugin in plugins) else ""  # which one a client may say
    request = Request(spec="", named=settings.roles, settings=settings.plugins, model=model)
    # Without origins: a plugin that takes no part by default may have settings here for clients that name it.
    resolve_settings(plugins, request, replace(settings, origins={}))


def _allowed(tables: tuple[str, ...]) -> str:
    return f"it may give {', '.join(tables)}" if tables else "it may give none"


def request_of(submitted: Submitted, settings: Settings) -> tuple[Request, Settings]:
    """What is started for a submission, and the settings under which. Raises `UsageError`."""
    asked, exact = submitted.submission, submitted.exact
    if exact is not None:
        return _exactly(submitted, exact, settings)
    if asked.profile:
        mine = load(flags={"profile": asked.profile}, profiles=find_profile)
        settings = replace(
            settings,
            profile=asked.profile,
            roles=mine.roles,
            plugins=mine.plugins,
            origins=mine.origins,
            profiled=mine.profiled,
        )
    options = {name: getattr(asked.options, name) for name in asked.options.__struct_fields__}
    request = Request(
        spec=asked.task,
        options=TaskOptions(**options),
        run=submitted.run,
        seed=asked.seed,
        budget=asked.budget,
        traces=asked.traces or settings.traces,
        named={**settings.roles, **asked.roles},
        profile=settings.profile or DEFAULT_PROFILE,
        settings=_over(settings.plugins, asked.settings),
        fallback=settings.fallback,
        model=asked.model,
    )
    return request, settings


def _exactly(submitted: Submitted, exact: Exact, settings: Settings) -> tuple[Request, Settings]:
    asked = submitted.submission
    options = {name: getattr(asked.options, name) for name in asked.options.__struct_fields__}
    traces = asked.traces or settings.traces
    request = Request(
        spec=asked.task,
        options=TaskOptions(**options, test=Path(exact.test) if exact.test else None),
        run=submitted.run,
        seed=asked.seed,
        budget=asked.budget,
        traces=traces,
        named=asked.roles,
        profile=exact.profile or DEFAULT_PROFILE,
        settings=asked.settings,
        fallback=exact.fallback,
    )
    plain = replace(
        settings,
        capacity=exact.capacity,
        traces=traces,
        profile=exact.profile,
        fallback=exact.fallback,
        roles=asked.roles,
        plugins=asked.settings,
        origins={},
        profiled={},
    )
    return request, plain


def _over(base: Mapping[str, Mapping[str, Any]], given: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    return {name: {**base.get(name, {}), **given.get(name, {})} for name in {**base, **given}}
