"""`gome worker`: perform for runs that other processes drive."""

from __future__ import annotations

import os
import signal
import sys

import anyio
import click

from gome.kernel.cli.opening import FiniteRange
from gome.kernel.connect import Connection, connect
from gome.kernel.diagnostics import configure
from gome.kernel.discovery import RUN_ROLES
from gome.kernel.errors import UsageError
from gome.kernel.settings import Settings, load
from gome.kernel.worker import GRACE, Worker


@click.command("worker")
@click.option("--roles", required=True, metavar="R,R", help="Roles to perform for, e.g. runner or runner,scorer.")
@click.option("--capacity", type=click.IntRange(1), metavar="N", help="Effects at once (default: the cores here).")
@click.option("--nats", default="", metavar="URL", help="The NATS server; default: the embedded one of this home.")
@click.option("--artifacts", default="", metavar="URL", help="Where the run keeps artifacts: a folder, s3://BUCKET/….")
@click.option("--home", default="", metavar="DIR", help="This worker's own folder (default $GOME_HOME or .gome).")
@click.option(
    "--grace",
    type=FiniteRange(0),
    default=GRACE,
    show_default=True,
    metavar="SECONDS",
    help="How long what is in flight may go on after SIGTERM or Ctrl-C.",
)
@click.option("--unsafe", is_flag=True, help="Run programs without a sandbox where none can be made.")
def worker(roles: str, capacity: int | None, nats: str, artifacts: str, home: str, grace: float, unsafe: bool) -> None:
    """Perform effects of runs whose roles are given to workers (`gome run … --set performers.runner=queue`).

    Any number of workers share the work, on any machines. They need the same gome and plugins as the run, its NATS
    server, and its artifacts; each has a home of its own, for what it is working on and what it has fetched.

    SIGTERM or Ctrl-C: it takes nothing more, finishes what it has begun, gives back to other workers what is not done
    after --grace, and exits with 0. A second one: it exits at once, with 130, and its work goes to others when the
    lease has run out (30 s; the driver's setting `lease`).
    """
    names = [r.strip() for r in roles.split(",") if r.strip()]
    for name in names or [""]:
        if name not in RUN_ROLES:
            raise UsageError(f"there is no role {name!r}; roles are {', '.join(RUN_ROLES)}")
    given = {"nats": nats, "artifacts": artifacts, "home": home, "capacity": capacity}
    settings = load(flags={name: value or None for name, value in given.items()})
    configure(settings.log_level)
    settings.export_secrets()
    anyio.run(_serve, settings, names, grace, unsafe)


async def _serve(settings: Settings, roles: list[str], grace: float, unsafe: bool) -> None:
    async with connect(settings) as connection:
        worker = _worker(connection, settings, roles, unsafe)
        _say(
            f"worker for {', '.join(roles)} at {connection.log.name}, {settings.capacity} at once; "
            f"artifacts {connection.artifacts.name}, home {settings.home}"
        )
        async with anyio.create_task_group() as group:
            group.start_soon(_signals, worker, grace)
            await worker.run()
            group.cancel_scope.cancel()
        await worker.queue.close()
        given_back = f", {worker.returned} given back" if worker.returned else ""
        _say(f"worker for {', '.join(roles)} has ended: {worker.performed} performed{given_back}")


async def _signals(worker: Worker, grace: float) -> None:
    """The first signal: come to an end in order. The second: go at once."""
    with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        stopping = False
        async for _ in signals:
            if stopping:
                os._exit(130)
            stopping = True
            left = worker.stop(grace)
            more = f"; {left} in flight may go on for {grace:g} s (once more ends it at once)" if left else ""
            _say(f"stopping: nothing more is taken{more}")


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _worker(connection: Connection, settings: Settings, roles: list[str], unsafe: bool) -> Worker:
    from gome.kernel.queue_jetstream import WorkQueue

    assert connection.nats is not None
    queue = WorkQueue(connection.nats, ack_wait=settings.lease, joins=True)
    return Worker(connection, queue, roles, settings.capacity, unsafe=unsafe)
