"""Who may use a service: tenants, the digests of their tokens, their quotas and what they may choose.

Read from a TOML file that its owner alone can read. It holds no token: a token is shown once, when it is made
(`gome serve --new-token`), and its SHA-256 is kept. Tokens are 256 random bits, so a plain digest does.

    nats = "token"                        # requests over NATS carry the token; "subject": permissions say who is who
    [tenants.acme]
    tokens = ["sha256:9f86d0…"]
    weight = 2                            # runs per turn (1)
    open = 4                              # runs at once, over all services (1000)
    queued = 100                          # runs that wait or are open (10000)
    tables = ["guard", "loop"]            # tables of settings it may give; ["*"]: all; none by default
    tasks = ["tables/acme.csv"]           # besides those that `gome tasks` lists
    budget = { seconds = 36000, money = 5.0 }   # for all its runs together

Without a file there is one tenant, that of the settings, who may do what whoever reaches the server may do anyway.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct, field

from gome.events import Budget
from gome.kernel.errors import UsageError
from gome.kernel.log_checks import check_name
from gome.kernel.service.problems import Refused
from gome.kernel.service.submission import unknown_limits
from gome.kernel.settings_file import parse, read

ALL = "*"
SHA = "sha256:"
Digest = Annotated[str, Meta(pattern=f"^{SHA}[0-9a-f]{{64}}$")]
Count = Annotated[int, Meta(ge=1, le=1_000_000)]


class Tenant(Struct, frozen=True, forbid_unknown_fields=True):
    """One tenant: digests of its tokens, its weight in turns, how many of its runs may be open at once and how many may
    wait or be open, the tables of settings and the tasks it may name, and the budget of all its runs together."""

    name: str = ""
    tokens: tuple[Digest, ...] = ()
    weight: Annotated[int, Meta(ge=1, le=1000)] = 1
    open: Count = 1000
    queued: Count = 10_000
    tables: tuple[str, ...] = ()
    tasks: tuple[str, ...] = ()
    budget: Budget = Budget()

    def may_set(self, table: str) -> bool:
        """Whether it may give settings of a table."""
        return ALL in self.tables or table in self.tables


class _File(Struct, frozen=True, forbid_unknown_fields=True):
    nats: Literal["token", "subject"] = "token"
    tenants: dict[str, dict[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True)
class Tenants:
    """All tenants by name. `subjects` says that over NATS a subject is proof enough of who asks; `single` that there is
    no file, and so nobody to tell apart."""

    by_name: Mapping[str, Tenant]
    subjects: bool = False
    single: bool = False

    def bearer(self, token: str) -> Tenant:
        """The tenant of a token. Raises `Refused` (401)."""
        mine = digest(token)
        found = None
        for tenant in self.by_name.values():  # all of them, so that the time it takes says nothing
            for other in tenant.tokens:
                if hmac.compare_digest(mine, other):
                    found = tenant
        if found is None:
            raise Refused(401, "no tenant has this token; send it as `Authorization: Bearer TOKEN`")
        return found

    def named(self, name: str, token: str) -> Tenant:
        """The tenant whose subject a request came in on. Raises `Refused` (401 or 403)."""
        if not (self.single or self.subjects) and self.bearer(token).name != name:
            raise Refused(403, f"this token is not one of tenant {name}")
        if name not in self.by_name:
            raise Refused(403, f"there is no tenant {name} here")
        return self.by_name[name]


def digest(token: str) -> str:
    """What the file says of a token."""
    return SHA + hashlib.sha256(token.encode()).hexdigest()


def new_token() -> str:
    """A token of 256 random bits."""
    return f"gome-{secrets.token_urlsafe(32)}"


def alone(tenant: str) -> Tenants:
    """The one tenant of a service without a file."""
    return Tenants({tenant: Tenant(name=tenant, tables=(ALL,), tasks=(ALL,))}, single=True)


def load_tenants(path: Path) -> Tenants:
    """Read a file of tenants; raises `UsageError` with what is wrong in it and where."""
    text = read(path, "the file of tenants")
    if path.stat().st_mode & 0o022:
        raise UsageError(f"others may write to the file of tenants {path}; make it yours: chmod go-w {path}")
    values = parse(text, str(path))
    try:
        found = msgspec.convert(values, _File)
    except msgspec.ValidationError as error:
        raise UsageError(f"{path}: {error}") from None
    if not found.tenants:
        raise UsageError(f"{path}: there is no tenant in it; write a table [tenants.NAME]")
    named: dict[str, Tenant] = {}
    owners: dict[str, str] = {}
    for name, table in found.tenants.items():
        tenant = _tenant(table, f"{path}: tenants.{name}")
        named[check_name("tenant", name)] = msgspec.structs.replace(tenant, name=name)
        for token in tenant.tokens:
            if owners.setdefault(token, name) != name:
                raise UsageError(f"{path}: tenants {owners[token]} and {name} have the same token; give each its own")
    return Tenants(named, subjects=found.nats == "subject")


def _tenant(table: Mapping[str, Any], where: str) -> Tenant:
    try:
        tenant = msgspec.convert(table, Tenant)
    except msgspec.ValidationError as error:
        hint = "; `gome serve --new-token` prints a token and its digest" if "tokens" in str(error) else ""
        raise UsageError(f"{where}: {error}{hint}") from None
    if wrong := unknown_limits(table.get("budget")):
        raise UsageError(f"{where}.{wrong}")
    for limit in tenant.budget.__struct_fields__:
        if (allowed := getattr(tenant.budget, limit)) is not None and not allowed > 0:
            raise UsageError(f"{where}.budget.{limit}: a number above 0 is wanted, not {allowed:g}")
    return tenant
