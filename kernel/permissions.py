"""Who may do what on a server that several machines share: one user per purpose, and the nats-server configuration.

The driver (`gome run`, `gome stop`) and the service (`gome serve`) live in the account GOME, which holds the streams.
Every worker, the reader and the clients of a service live in an account of their own that imports exactly the subjects
they need, and have the same subjects as permissions: a permission says at once what is refused, and the account keeps
answers at home. (With permissions alone, a request whose reply subject is a stream's writes the answer into that
stream: tried.) Nobody but these two makes streams or consumers: a stream may have the vault as its source (tried as
well), and a role's consumer is shared by its workers. Nobody deletes, purges or alters a stream. A record must not
claim to be another's: `log_checks.check_place`.

Pure; `gome server config` writes what is rendered here, `gome doctor` reads `abilities`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gome.kernel.answers import IMPORTED_API
from gome.kernel.discovery import OPTIONAL_ROLES, RUN_ROLES
from gome.kernel.errors import UsageError
from gome.kernel.log_checks import check_name

ACCOUNT = "GOME"
"""The account that holds the streams."""
DRIVER, READER, SERVICE = "driver", "reader", "service"
EVERY = "*"
"""In the place of a tenant: all of them."""
VERBS = ("submit", "status", "list", "result", "stop")
"""What clients ask a service for and get one answer to."""
ROLES = (*RUN_ROLES, *OPTIONAL_ROLES)
WHO_AM_I = "$SYS.REQ.USER.INFO"
"""What a server answers with the permissions of whoever asks."""
_STREAMS = ("GOME", "GOME_VAULT", "GOME_WORK", "KV_GOME_OWNERS")
_VARIABLE = re.compile(r"\$[A-Z][A-Z0-9_]*")
_SAFE = re.compile(r"[A-Za-z0-9_./:@%+-]+")


@dataclass(frozen=True)
class User:
    """One user and what it may do, by subject. `calls` are answered with one message (appends, acknowledgements);
    `api` are JetStream calls, without their prefix, that are; `batches` are calls that many messages answer; `hears`
    are subjects it may subscribe to besides its inbox. `home` says that it lives in the account of the streams,
    `answers` that it may answer whoever asked it, wherever that is."""

    name: str
    calls: tuple[str, ...]
    api: tuple[str, ...]
    batches: tuple[str, ...]
    hears: tuple[str, ...]
    home: bool = False
    answers: bool = False

    @property
    def account(self) -> str:
        """The account it lives in."""
        return ACCOUNT if self.home else f"{ACCOUNT}-{self.name}"

    @property
    def variable(self) -> str:
        """The variable that holds its password where the server runs."""
        return password_variable(self.name)

    @property
    def publishes(self) -> tuple[str, ...]:
        """Every subject it may publish to."""
        prefix = "$JS.API" if self.home else IMPORTED_API
        # A server tells an account without streams so, and that is how a client learns the prefix it has to use.
        learns = () if self.home else ("$JS.API.STREAM.INFO.*",)
        return (*self.calls, *(f"{prefix}.{call}" for call in self.api), *self.batches, *learns, WHO_AM_I)

    @property
    def subscribes(self) -> tuple[str, ...]:
        """Every subject it may subscribe to."""
        return ("_INBOX.>", *self.hears)


def password_variable(name: str) -> str:
    """The variable of a user's password, for the server: `GOME_PASSWORD_RUNNER`."""
    return f"GOME_PASSWORD_{name.upper().replace('-', '_')}"


CLUSTER = password_variable("cluster")
"""The variable of the password by which servers of one cluster know each other."""


def driver(tenant: str) -> User:
    """Drives runs, decides, performs what is not given to workers, and shows everything, hidden grades included."""
    reads = [f"STREAM.MSG.GET.{stream}" for stream in ("GOME", "GOME_VAULT", "KV_GOME_OWNERS")]
    makes = [f"STREAM.{verb}.{stream}" for stream in _STREAMS for verb in ("INFO", "CREATE")]
    # Only in the form that names its filter: what does not name one reads a whole stream.
    makes += [f"CONSUMER.CREATE.GOME_WORK.{role}.gome.work.{role}.*" for role in ROLES]
    return User(
        DRIVER,
        calls=(
            f"gome.ev.{tenant}.*.*.*",
            f"gome.vault.{tenant}.*.effect.scorer",
            "gome.work.*.*",
            "$KV.GOME_OWNERS.*",
        ),
        api=(*reads, *makes),
        batches=("$JS.API.DIRECT.GET.GOME", "$JS.API.DIRECT.GET.GOME_VAULT"),
        hears=(f"gome.ev.live.{tenant}.>",),
        home=True,
    )


def service(tenant: str) -> User:
    """Drives runs that others submit: what a driver may do, and the stream of submissions, its consumers, and answers
    to clients."""
    base, stream = driver(tenant), "GOME_SUBMISSIONS"
    api = [f"STREAM.{verb}.{stream}" for verb in ("INFO", "CREATE", "MSG.GET")]
    api.append(f"CONSUMER.CREATE.{stream}.{tenant}.gome.sub.{tenant}.*.submitted")
    return User(
        SERVICE,
        calls=(*base.calls, f"gome.sub.{tenant}.*.*", "gome.service.wake", f"$JS.ACK.{stream}.{tenant}.>"),
        api=(*base.api, *api),
        batches=(*base.batches, f"$JS.API.DIRECT.GET.{stream}", f"$JS.API.CONSUMER.MSG.NEXT.{stream}.{tenant}"),
        hears=(*base.hears, "gome.service.>", "$SRV.>"),
        home=True,
        answers=True,
    )


def client(tenant: str) -> User:
    """Asks services for the runs of one tenant, and nothing else: with `nats = "subject"` in the file of tenants that
    is proof enough of who asks."""
    asks = [f"gome.service.{tenant}.{verb}" for verb in VERBS]
    return User(f"client-{tenant}", (*asks, "gome.service.health"), (), (f"gome.service.{tenant}.tail",), ())


def reader(tenant: str) -> User:
    """Shows and verifies runs; writes nothing, and does not see the vault."""
    return User(
        READER,
        calls=(),
        api=("STREAM.INFO.GOME", "STREAM.MSG.GET.GOME"),
        batches=("$JS.API.DIRECT.GET.GOME",),
        hears=(f"gome.ev.live.{tenant}.>",),
    )


def worker(roles: Sequence[str], tenant: str) -> User:
    """Performs for some roles: takes their work, reads the log, appends results under these roles. Only one that
    performs for the scorer sees the vault. Raises `UsageError` for a role that there is not."""
    for role in roles:
        if role not in ROLES:
            raise UsageError(f"there is no role {role!r}; roles are {', '.join(ROLES)}")
    base = reader(tenant)
    calls = [f"gome.ev.{tenant}.*.effect.{role}" for role in roles]
    calls += [f"$JS.ACK.GOME_WORK.{role}.>" for role in roles]
    api = [*base.api, "STREAM.INFO.GOME_WORK", *(f"CONSUMER.INFO.GOME_WORK.{role}" for role in roles)]
    batches = [*base.batches, *(f"$JS.API.CONSUMER.MSG.NEXT.GOME_WORK.{role}" for role in roles)]
    if "scorer" in roles:
        calls.append(f"gome.vault.{tenant}.*.effect.scorer")
        api += ["STREAM.INFO.GOME_VAULT", "STREAM.MSG.GET.GOME_VAULT"]
        batches.append("$JS.API.DIRECT.GET.GOME_VAULT")
    return User("-".join(roles), tuple(calls), tuple(api), tuple(batches), base.hears)


def users(
    workers: Sequence[Sequence[str]], tenant: str = "main", clients: Sequence[str] = (), *, serves: bool = False
) -> list[User]:
    """The driver, the reader, a worker per set of roles, and with `serves` or clients (names of tenants) the service.
    `tenant` may be `EVERY`. Raises `UsageError` for two of one name."""
    for name in (*clients, *([] if tenant == EVERY else [tenant])):
        check_name("tenant", name)
    found = [driver(tenant), reader(tenant), *(worker(roles, tenant) for roles in workers)]
    found += [service(tenant)] if serves or clients else []
    found += [client(name) for name in clients]
    names = [user.name for user in found]
    if twice := {name for name in names if names.count(name) > 1}:
        raise UsageError(f"there are two users {min(twice)!r}; give each set of roles once")
    return found


@dataclass(frozen=True)
class Server:
    """Where one server listens and keeps its store. In a cluster `routes` are host:port of all its servers, `cluster`
    is where this one takes routes, and `name` is its own; alone it needs none of the three. `certificate` and `key` are
    PEM files for TLS, without which passwords and records cross the network in the clear. `name` may be a variable of
    the server's environment (`$NAME`), so that servers share one file. `monitor` is where it tells its health over HTTP
    ("": nowhere); it asks nobody who they are."""

    listen: str = "0.0.0.0:4222"
    store: str = "/data"
    name: str = ""
    cluster: str = "0.0.0.0:6222"
    routes: tuple[str, ...] = ()
    certificate: str = ""
    key: str = ""
    monitor: str = ""

    def route_variables(self, password: str) -> dict[str, str]:
        """The variables that hold its routes: a server connects to the others with the cluster's password."""
        return {f"GOME_ROUTE_{i}": f"nats://cluster:{password}@{route}" for i, route in enumerate(self.routes, 1)}


def configuration(people: Sequence[User], server: Server) -> str:
    """The text of nats.conf. It holds no secret: passwords are read from variables of the server's environment."""
    lines = [
        "# Written by `gome server config`; passwords come from the variables it names (see nats.env).",
        f"listen: {_quoted(server.listen)}",
        "max_payload: 1MB",
    ]
    if server.name:
        named = server.name if _VARIABLE.fullmatch(server.name) else _quoted(server.name)
        lines.append(f"server_name: {named}")
    if server.monitor:
        lines.append(f"http: {_quoted(server.monitor)}")
    if server.certificate:
        lines.append(f"tls {{ cert_file: {_quoted(server.certificate)}, key_file: {_quoted(server.key)} }}")
    # An append that was acknowledged is on disk.
    lines.append(f"jetstream {{ store_dir: {_quoted(server.store)}, sync_interval: always }}")
    if server.routes:
        routes = ", ".join(f"${name}" for name in server.route_variables(""))
        lines += [
            "cluster {",
            f"  name: gome, listen: {_quoted(server.cluster)}",
            f"  authorization {{ user: cluster, password: ${CLUSTER} }}",
            f"  routes: [{routes}]",
            "}",
        ]
    lines += ["accounts {", f"  {ACCOUNT} {{", "    jetstream: enabled"]
    lines += [f"    users: [{_login(user)}]" for user in people if user.home]
    lines += ["    exports: [", *(f"      {line}" for line in _exports(people)), "    ]", "  }"]
    for user in people:
        if not user.home:
            lines += [f"  {_quoted(user.account)} {{", f"    users: [{_login(user)}]", "    imports: ["]
            lines += [*(f"      {line}" for line in _imports(user)), "    ]", "  }"]
    return "\n".join([*lines, "}", ""])


def _quoted(text: str) -> str:
    if not _SAFE.fullmatch(text):
        raise UsageError(f"{text!r} cannot stand in the server's configuration; use letters, digits and _./:@%+-")
    return f'"{text}"'


def _list(subjects: Sequence[str]) -> str:
    return "[" + ", ".join(f'"{subject}"' for subject in subjects) + "]"


def _login(user: User) -> str:
    may = f"publish: {{ allow: {_list(user.publishes)} }}, subscribe: {{ allow: {_list(user.subscribes)} }}"
    if user.answers:  # a tail has many answers
        may += ', allow_responses: { max: -1, expires: "20m" }'
    return f'{{ user: "{user.name}", password: ${user.variable}, permissions: {{ {may} }} }}'


def _exports(people: Sequence[User]) -> list[str]:
    shared: dict[str, list[str]] = {}
    for user in people:
        if not user.home:
            lines = [f'service: "{subject}"' for subject in user.calls]
            lines += [f'service: "$JS.API.{call}"' for call in user.api]
            lines += [f'service: "{subject}", response_type: stream' for subject in user.batches]
            lines += [f'stream: "{subject}"' for subject in user.hears]
            for line in lines:
                shared.setdefault(line, []).append(user.account)
    return [f"{{ {line}, accounts: {_list(accounts)} }}" for line, accounts in shared.items()]


def _imports(user: User) -> list[str]:
    lines = [(f'service: {{ account: {ACCOUNT}, subject: "{s}" }}', "") for s in (*user.calls, *user.batches)]
    lines += [
        (f'service: {{ account: {ACCOUNT}, subject: "$JS.API.{call}" }}', f', to: "{IMPORTED_API}.{call}"')
        for call in user.api
    ]
    lines += [(f'stream: {{ account: {ACCOUNT}, subject: "{subject}" }}', "") for subject in user.hears]
    return [f"{{ {line}{to} }}" for line, to in lines]


def abilities(permissions: Mapping[str, Any], tenant: str) -> tuple[list[str], list[str]]:
    """What credentials may do, and what they may not, in words. `permissions` is what a server answers to `WHO_AM_I`
    under that name, {} for a user without any."""
    may_publish = _matcher(permissions.get("publish") or {})

    def api(call: str) -> bool:
        return any(may_publish(f"{prefix}.{call}") for prefix in ("$JS.API", IMPORTED_API))

    performs = [r for r in ROLES if may_publish(f"$JS.API.CONSUMER.MSG.NEXT.GOME_WORK.{r}")]
    performs = [r for r in performs if may_publish(f"gome.ev.{tenant}.run.effect.{r}")]
    asked = {
        "read runs": api("STREAM.MSG.GET.GOME") and may_publish("$JS.API.DIRECT.GET.GOME"),
        "drive runs": may_publish(f"gome.ev.{tenant}.run.decide.search") and api("STREAM.CREATE.GOME"),
        "read hidden grades": api("STREAM.MSG.GET.GOME_VAULT"),
        "record hidden grades": may_publish(f"gome.vault.{tenant}.run.effect.scorer"),
        "purge or delete streams": api("STREAM.PURGE.GOME") or api("STREAM.DELETE.GOME"),
    }
    can = [what for what, yes in asked.items() if yes]
    if performs:
        can.insert(0, f"work as {'any role' if len(performs) == len(ROLES) else ', '.join(performs)}")
    return can, [what for what, yes in asked.items() if not yes]


def _matcher(rule: Mapping[str, Any]) -> Callable[[str], bool]:
    allow, deny = rule.get("allow") or [">"], rule.get("deny") or []

    def may(subject: str) -> bool:
        return any(matches(p, subject) for p in allow) and not any(matches(p, subject) for p in deny)

    return may


def matches(pattern: str, subject: str) -> bool:
    """Whether a subject with wildcards covers another one."""
    wanted, given = pattern.split("."), subject.split(".")
    for i, token in enumerate(wanted):
        if token == ">":
            return len(given) > i
        if i >= len(given) or token not in ("*", given[i]):
            return False
    return len(wanted) == len(given)
