"""A program that prints a gigabyte, against one that prints to nowhere: what capturing its output costs.

Lines without a word that may announce a score are the best case of the search for score lines, LightGBM's own remarks
the usual one, and lines that have a word and no number the worst; the search ends after 64 MiB in any case.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from gome.events import Limits
from tests.plugins.runner.conftest import OUTPUTS, make_bench

pytestmark = [pytest.mark.bench, pytest.mark.anyio]

LINES = {
    "plain": "x" * 79,
    "LightGBM": "[LightGBM] [Info] Total Bins 1234, data points",
    "words": "the validation of the scores goes on",
}


async def test_a_gigabyte_of_output(tmp_path: Path) -> None:
    bench = make_bench(tmp_path)
    bench.limits = Limits(seconds=60, memory_mb=512, disk_mb=64, processes=64)
    seconds = {}
    for number, (name, line) in enumerate({"nowhere": LINES["plain"], **LINES}.items()):
        to = 'open("/dev/null", "wb")' if name == "nowhere" else "sys.stdout.buffer"
        program = f"""{OUTPUTS}
import sys
to, chunk = {to}, b"{line}\\n" * (1_000_000 // {len(line) + 1})
for _ in range(1000): to.write(chunk)
"""
        done = await bench.run(program, id=f"{number:08x}" + "a" * 24)
        assert done.ok and len(str(done.stdout)) < 80_000
        seconds[name] = done.seconds
    print(f"\na gigabyte to nowhere: {seconds.pop('nowhere'):.2f} s")
    for name, took in seconds.items():
        print(f"{name} lines captured: {took:.2f} s, {1000 / took:.0f} MB/s")
