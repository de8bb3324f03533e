"""`gome server config`: a nats-server for several machines, with one user per purpose."""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gome.kernel.cli.opening import json_option
from gome.kernel.cli.output import emit, say
from gome.kernel.errors import UsageError

if TYPE_CHECKING:
    from gome.kernel.permissions import User


@click.group("server")
def server() -> None:
    """Configure a server that several machines share (one machine needs none)."""


@server.command("config")
@click.option("--out", type=click.Path(path_type=Path), default=Path("nats.conf"), metavar="FILE")
@click.option(
    "--worker", "workers", multiple=True, metavar="R,R", help="A user for workers of these roles (runner and scorer)."
)
@click.option("--tenant", default="main", metavar="NAME", help="The tenant whose runs they work on; '*': all.")
@click.option("--service", "serves", is_flag=True, help="A user for `gome serve` as well.")
@click.option("--client", "clients", multiple=True, metavar="TENANT", help="A user who asks services for its runs.")
@click.option("--listen", default="0.0.0.0:4222", metavar="HOST:PORT", help="Where clients connect.")
@click.option("--store", default="/data", metavar="DIR", help="The server's own folder for streams.")
@click.option("--tls-cert", default="", metavar="FILE", help="TLS: the certificate; clients use tls://HOST:PORT.")
@click.option("--tls-key", default="", metavar="FILE", help="TLS: its key.")
@click.option("--name", default="", metavar="NAME", help="Cluster: this server's name, or a variable ($NAME) with it.")
@click.option("--routes", default="", metavar="HOST:PORT,…", help="Cluster: the servers' addresses for each other.")
@click.option("--cluster", default="0.0.0.0:6222", metavar="HOST:PORT", help="Cluster: where other servers connect.")
@click.option("--monitor", default="", metavar="HOST:PORT", help="Tell health over HTTP, to whoever asks.")
@json_option
def config(
    out: Path,
    workers: tuple[str, ...],
    tenant: str,
    serves: bool,
    clients: tuple[str, ...],
    listen: str,
    store: str,
    tls_cert: str,
    tls_key: str,
    name: str,
    routes: str,
    cluster: str,
    monitor: str,
    as_json: bool,
) -> None:
    """Write nats.conf, and beside it nats.env with a random password per user and a secrets file for each.

    The users are driver (`gome run`), reader (shows runs, not the vault), one per --worker, and on demand service
    (`gome serve`) and one per --client. Passwords that nats.env
    holds already are kept, so a user can be added later. nats.conf holds no secret.
    """
    from gome.kernel.permissions import CLUSTER, Server, configuration, users

    people = users([_roles(text) for text in workers or ("runner", "scorer")], tenant, clients, serves=serves)
    hosts = tuple(route.strip() for route in routes.split(",") if route.strip())
    if bool(hosts) != bool(name):
        raise UsageError("a cluster needs both: --name of this server and --routes of all of them")
    if bool(tls_cert) != bool(tls_key):
        raise UsageError("TLS needs both: --tls-cert and --tls-key")
    place = Server(listen, store, name, cluster, hosts, tls_cert, tls_key, monitor)
    text = configuration(people, place)
    passwords = _passwords(
        out.with_suffix(".env"), [*(user.variable for user in people), *([CLUSTER] if hosts else [])]
    )
    if hosts:
        passwords |= place.route_variables(passwords[CLUSTER])
    try:
        out.write_text(text)
        _private(out.with_suffix(".env"), "".join(f"{key}={value}\n" for key, value in passwords.items()))
        for user in people:
            _private(_secrets_file(out, user), _login(user, passwords[user.variable]))
    except OSError as error:
        raise UsageError(f"cannot write {error.filename}: {error.strerror}") from error
    for user in people:
        if as_json:
            emit({"user": user.name, "account": user.account, "secrets": str(_secrets_file(out, user))})
        else:
            print(f"{user.name:12} GOME_SECRETS={_secrets_file(out, user)}")
    if hosts:
        say("a server that stood alone loses its streams in a cluster: `gome export` its runs, give it an empty store")
    if not as_json:
        say(f"start the server with these passwords: set -a; . {out.with_suffix('.env')}; nats-server -c {out}")


def _roles(text: str) -> list[str]:
    return [role.strip() for role in text.split(",") if role.strip()]


def _secrets_file(out: Path, user: User) -> Path:
    return out.with_name(f"{user.name}.secrets")


def _login(user: User, password: str) -> str:
    return f'GOME_NATS_USER = "{user.name}"\nGOME_NATS_PASSWORD = "{password}"\n'


def _passwords(path: Path, variables: list[str]) -> dict[str, str]:
    """The passwords that a file holds, and new ones for variables that it lacks."""
    try:
        lines = path.read_text().splitlines() if path.exists() else []
    except OSError as error:
        raise UsageError(f"cannot read the passwords in {path}: {error.strerror}") from error
    known = dict(line.split("=", 1) for line in lines if "=" in line)
    # A server reads variables as values of its configuration: what begins with a digit could be a number or a size.
    return known | {name: "p" + secrets.token_hex(24) for name in variables if name not in known}


def _private(path: Path, text: str) -> None:
    """Write a file that only its owner can read, whole or not at all."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
    try:
        with open(fd, "w") as file:
            file.write(text)
        os.replace(temporary, path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
