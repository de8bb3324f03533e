"""`gome worker`: perform for runs that other processes drive."""

from __future__ import annotations

import signal
import sys

import anyio
import click

from gome.kernel.connect import Connection, connect
from gome.kernel.diagnostics import configure
from gome.kernel.discovery import RUN_ROLES
from gome.kernel.errors import UsageError
from gome.kernel.settings import Settings, load
from gome.kernel.worker import LEASE, Worker


@click.command("worker")
@click.option("--roles", required=True, metavar="R,R", help="Roles to perform for, e.g. runner or runner,scorer.")
@click.option("--capacity", type=click.IntRange(1), metavar="N", help="Effects at once (default: the cores here).")
@click.option("--nats", default="", metavar="URL", help="The NATS server; default: the embedded one of this home.")
@click.option("--unsafe", is_flag=True, help="Run programs without a sandbox where none can be made.")
def worker(roles: str, capacity: int | None, nats: str, unsafe: bool) -> None:
    """Perform effects of runs whose roles are given to workers (`gome run … --set performers.runner=queue`)."""
    names = [r.strip() for r in roles.split(",") if r.strip()]
    for name in names:
        if name not in RUN_ROLES:
            raise UsageError(f"there is no role {name!r}; roles are {', '.join(RUN_ROLES)}")
    settings = load(flags={"nats": nats or None, "capacity": capacity})
    configure(settings.log_level)
    settings.export_secrets()
    anyio.run(_serve, settings, names, unsafe)


async def _serve(settings: Settings, roles: list[str], unsafe: bool) -> None:
    async with connect(settings) as connection:
        worker = _worker(connection, settings, roles, unsafe)
        print(f"worker for {', '.join(roles)} at {connection.log.name}, {settings.capacity} at once", file=sys.stderr)
        async with anyio.create_task_group() as group:
            group.start_soon(worker.run)
            with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
                async for _ in signals:
                    break
            group.cancel_scope.cancel()
        await worker.queue.close()
        print(f"performed {worker.performed}; what was in flight is given to others", file=sys.stderr)


def _worker(connection: Connection, settings: Settings, roles: list[str], unsafe: bool) -> Worker:
    from gome.kernel.queue_jetstream import WorkQueue

    assert connection.nats is not None
    queue = WorkQueue(connection.nats, ack_wait=LEASE)
    return Worker(connection, queue, roles, settings.capacity, unsafe=unsafe)
