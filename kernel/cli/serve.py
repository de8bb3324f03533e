"""`gome serve`: a headless service that queues and drives runs which others submit over NATS or HTTP."""

from __future__ import annotations

import os
import signal
import sys
from contextlib import AsyncExitStack
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gome.kernel.cli.opening import FiniteRange
from gome.kernel.errors import UsageError

if TYPE_CHECKING:
    import anyio

    from gome.kernel.service.micro import Micro
    from gome.kernel.service.service import Service
    from gome.kernel.service.tenants import Tenants
    from gome.kernel.settings import Settings

GRACE = 30.0


@click.command("serve")
@click.option("--nats", default="", metavar="URL", help="The NATS server; default: the embedded one of this home.")
@click.option("--http", default="", metavar="HOST:PORT", help="Answer HTTP as well (needs gome[serve] and --tenants).")
@click.option("--capacity", type=click.IntRange(1), metavar="N", help="Runs driven at once (default: the cores here).")
@click.option(
    "--tenants", type=click.Path(path_type=Path), envvar="GOME_TENANTS", metavar="FILE", help="Who may, and how much."
)
@click.option("--artifacts", default="", metavar="URL", help="Where artifacts are kept (a folder, s3://BUCKET/PREFIX).")
@click.option("--home", default="", metavar="DIR", help="This service's own folder (default $GOME_HOME or .gome).")
@click.option(
    "--grace",
    type=FiniteRange(0),
    default=GRACE,
    show_default=True,
    metavar="SECONDS",
    help="How long runs may go on after SIGTERM before they are handed over.",
)
@click.option("--set", "sets", multiple=True, metavar="KEY=VALUE", help="One setting, e.g. performers.runner=queue.")
@click.option("--new-token", is_flag=True, help="Print a token and the digest for the file of tenants; start nothing.")
def serve(
    nats: str,
    http: str,
    capacity: int | None,
    tenants: Path | None,
    artifacts: str,
    home: str,
    grace: float,
    sets: tuple[str, ...],
    new_token: bool,
) -> None:
    """Queue and drive runs that others submit: `$SRV.PING` finds it, subjects are gome.service.TENANT.VERB with the
    verbs submit, status, list, result, stop, tail.

    Any number of services share the work. One that is killed is replaced by the others, which resume its runs from the
    log. SIGTERM or Ctrl-C: it claims nothing more, lets runs go on for --grace seconds, suspends what is left, gives it
    to other services, and exits with 0. A second one: it exits at once, with 130.
    """
    import anyio

    from gome.kernel.diagnostics import configure
    from gome.kernel.profiles import find_profile
    from gome.kernel.service.requests import check_settings
    from gome.kernel.service.tenants import alone, digest, load_tenants
    from gome.kernel.service.tenants import new_token as drawn
    from gome.kernel.settings import load

    if new_token:
        token = drawn()
        print(f'token   {token}\ntokens = ["{digest(token)}"]')
        return
    given = {"nats": nats, "artifacts": artifacts, "home": home}
    settings = load(flags={name: value or None for name, value in given.items()}, sets=sets, profiles=find_profile)
    if http and tenants is None:
        raise UsageError("--http answers whoever has a token: name the file of tenants with --tenants")
    if http:
        import_module("gome.kernel.service.http")  # before anything begins: it may not be installed
    who = load_tenants(tenants) if tenants else alone(settings.tenant)
    check_settings(settings)
    configure(settings.log_level)
    settings.export_secrets()
    anyio.run(_serve, settings, who, capacity or settings.capacity, _place(http), grace)


def _place(http: str) -> tuple[str, int] | None:
    if not http:
        return None
    host, colon, port = http.rpartition(":")
    if not (colon and host and port.isdecimal() and int(port) < 65_536):
        raise UsageError(f"--http {http}: write HOST:PORT, such as 127.0.0.1:8000")
    return host.strip("[]"), int(port)


async def _serve(settings: Settings, who: Tenants, capacity: int, place: tuple[str, int] | None, grace: float) -> None:
    import anyio

    from gome.kernel.connect import connect
    from gome.kernel.service.micro import Micro
    from gome.kernel.service.operations import Operations
    from gome.kernel.service.service import Service

    async with connect(settings) as connection, AsyncExitStack() as stack:
        assert connection.nats is not None
        service = Service(connection, settings, who, capacity)
        operations = Operations(service, settings)
        micro = Micro(connection.nats, operations, who)
        await service.submissions.prepare()
        async with anyio.create_task_group() as group:
            group.start_soon(_signals, service, grace, stopping := anyio.Event())
            group.start_soon(_leave, stopping, micro)
            await micro.start()
            group.start_soon(micro.keep)
            if place is not None:
                from gome.kernel.service.http import answering

                place = await stack.enter_async_context(answering(operations, who, *place))
            also = f" and http://{place[0]}:{place[1]}" if place else ""
            _say(
                f"serving {', '.join(sorted(who.by_name))} at {connection.log.name}{also}, {capacity} runs at once; "
                f"artifacts {connection.artifacts.name}, home {settings.home}"
            )
            await service.run()
            group.cancel_scope.cancel()
        over = f", {service.handed_over} handed over" if service.handed_over else ""
        _say(f"the service has ended: {service.ended} runs ended{over}")


async def _leave(stopping: anyio.Event, micro: Micro) -> None:
    """Requests go to other services from the moment that this one stops."""
    await stopping.wait()
    await micro.stop()


async def _signals(service: Service, grace: float, stopping: anyio.Event) -> None:
    """The first signal: come to an end in order. The second: go at once."""
    import anyio

    with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async for _ in signals:
            if stopping.is_set():
                os._exit(130)
            stopping.set()
            left = service.stop(grace)
            more = f"; {left} runs may go on for {grace:g} s (once more ends it at once)" if left else ""
            _say(f"stopping: nothing more is claimed{more}")


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
