"""Checks of a runner that is called off, abandoned, killed, or asked for the same execution again.

Part of the conformance kit (`gome.kernel.testing_runner` runs them, in this order). Whatever happens to the runner,
nothing of a program outlives it unasked and no result is made twice.
"""

from __future__ import annotations

import os
import secrets
import signal

import anyio

from gome.events import ExecutionFinished
from gome.kernel.testing_bench import OUTPUTS, Bench, Body, alive, gone, ill, lasting, same, well


async def _collected(bench: Bench) -> None:
    program = f"{OUTPUTS}\nimport os\nprint(os.urandom(8).hex())\n"
    id = secrets.token_hex(16)
    first = well(await bench.run(program, id=id))
    assert len(str(first.stdout).strip()) == 16, "what it printed is missing"
    again = await bench.run(program, id=id)
    same(again, first, "the result of an execution that had finished")


async def _called_off(bench: Bench) -> None:
    marker = f"kit-{secrets.token_hex(8)}"
    done = await bench.run(lasting(marker), cancelled=lambda: len(alive(marker)) == 2)
    ill(done, "cancelled")
    gone(marker)


async def _abandoned(bench: Bench) -> None:
    marker, id = f"kit-{secrets.token_hex(8)}", secrets.token_hex(16)
    program = lasting(marker)
    ended: list[ExecutionFinished] = []
    async with anyio.create_task_group() as tasks:

        async def first() -> None:
            ended.append(await bench.run(program, id=id))

        tasks.start_soon(first)
        while len(alive(marker)) < 2 and not ended:
            await anyio.sleep(0.02)
        tasks.cancel_scope.cancel()
    assert not ended, "a program that goes on for ever has ended"
    gone(marker)
    ill(await bench.run(program, id=id, deadline=1.0), "time")


async def _orphaned(bench: Bench) -> None:
    marker, id = f"kit-{secrets.token_hex(8)}", secrets.token_hex(16)
    program = lasting(marker)
    process = os.fork()
    if process == 0:
        try:
            anyio.run(lambda: bench.run(program, id=id))
        finally:
            os._exit(0)
    while len(alive(marker)) < 2 and not os.waitid(os.P_PID, process, os.WEXITED | os.WNOHANG | os.WNOWAIT):
        await anyio.sleep(0.02)
    os.kill(process, signal.SIGKILL)
    _, status = os.waitpid(process, 0)
    assert os.WIFSIGNALED(status), "a program that goes on for ever has ended"
    ill(await bench.run(program, id=id, deadline=1.0), "time")
    gone(marker)


AGAIN: dict[str, Body] = {
    "performed again after its end it is collected, not run": _collected,
    "called off it is stopped with all it started": _called_off,
    "abandoned it leaves nothing alive and can be performed again": _abandoned,
    "after a crash of gome it is performed again, and what was left is ended": _orphaned,
}
"""Checks by what they are about."""
