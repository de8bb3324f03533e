"""Checks of where a runner stops a program, or does not follow it: time, memory, disk, links and endless output.

Part of the conformance kit (`gome.kernel.testing_runner` runs them, in this order). The number of processes is limited
only where programs are isolated: see `testing_reach`.
"""

from __future__ import annotations

import secrets

from gome.kernel.testing_bench import FOREVER, OUTPUTS, Bench, Body, gone, ill, lasting, same, well


async def _time(bench: Bench) -> None:
    marker = f"kit-{secrets.token_hex(8)}"
    done = ill(await bench.run("print('begun', flush=True)\n" + lasting(marker), limits={"seconds": 1.5}), "time")
    assert done.seconds >= 1.5, f"it had {done.seconds} of 1.5 s"
    same(str(done.stdout).strip(), "begun", "what it printed before")
    gone(marker)


async def _deadline(bench: Bench) -> None:
    ill(await bench.run(FOREVER, deadline=1.0), "time")


async def _memory(bench: Bench) -> None:
    program = "kept = []\nwhile True: kept.append(bytearray(b'x' * (8 << 20)))\n"
    ill(await bench.run(program, limits={"memory_mb": 128}), "memory")


async def _disk(bench: Bench) -> None:
    program = """
import time
for i in range(8):
    with open(f"part{i}", "wb") as file: file.write(b"x" * (8 << 20))
while True: time.sleep(60)
"""
    ill(await bench.run(program, limits={"disk_mb": 32}), "killed")


async def _links(bench: Bench) -> None:
    secret = bench.home / f"answers-{secrets.token_hex(8)}.csv"
    secret.write_text("id,y\n3,1\n")
    done = await bench.run(
        f"""{OUTPUTS}
import os
os.remove("submission.csv")
os.symlink({str(secret)!r}, "submission.csv")
os.symlink("/etc/passwd", "scores.csv")
os.makedirs("members")
os.symlink("/etc", "members/etc")
"""
    )
    ill(done, "contract")
    same(set(done.outputs), {"oof.csv"}, "the set of outputs")


async def _chatter(bench: Bench) -> None:
    program = f"""{OUTPUTS}
import sys
print("first line")
block = ("x" * 99 + "\\n") * 10_000
for _ in range(40): sys.stdout.write(block)
print("last line", flush=True)
"""
    done = well(await bench.run(program))
    text = str(done.stdout)
    assert len(text) < 4_000_000, f"all {len(text)} characters of 40 MB are kept"
    assert text.startswith("first line") and text.rstrip().endswith("last line"), "head and tail are not kept"


LIMITS: dict[str, Body] = {
    "time is limited, for children as well": _time,
    "the time that the run has left limits too": _deadline,
    "memory is limited": _memory,
    "disk is limited": _disk,
    "links are not followed where outputs are read": _links,
    "a chatty program is cut, head and tail kept": _chatter,
}
"""Checks by what they are about."""
