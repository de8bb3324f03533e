"""From the request to a program's first line, with pandas, scikit-learn, LightGBM and torch imported: warm, cold.

The request is `perform` of the runner plugin, so laying out the inputs, the probe's answer and the sandbox are in it;
the first line is a clock reading after the imports. Cold is an interpreter of its own in the same sandbox, measured in
turns with warm so that whatever else the machine does falls on both.
"""

from __future__ import annotations

import statistics
import time
from pathlib import Path
from typing import Any

import pytest

from tests.plugins.runner.conftest import OUTPUTS, make_bench

pytestmark = [pytest.mark.bench, pytest.mark.anyio]

WANTED = ("pandas", "sklearn.ensemble", "lightgbm", "torch")
WARM, COLD = 30, 5


async def once(bench: Any, start: str, id: str, imports: str) -> tuple[float, float]:
    """Milliseconds until the first line and until the result."""
    bench.settings["start"] = start
    asked = time.monotonic()
    done = await bench.run(f"{imports}\nimport time\nprint(time.monotonic()){OUTPUTS}", id=id)
    ended = time.monotonic()
    assert done.ok and done.warm == (start == "warm"), done.error
    return (float(str(done.stdout)) - asked) * 1e3, (ended - asked) * 1e3


async def test_a_programs_first_line_warm_against_cold(tmp_path: Path) -> None:
    bench = make_bench(tmp_path)
    imports = "\n".join(f"import {name}" for name in WANTED)
    await once(bench, "warm", "f" * 32, imports)  # the zygote, with torch behind it, comes up
    while (await once(bench, "warm", f"{time.monotonic_ns():032x}", imports))[0] > 500:
        time.sleep(0.2)
    warm, cold = [], []
    for number in range(WARM):
        warm.append(await once(bench, "warm", f"{number:08x}" + "a" * 24, imports))
        if number % (WARM // COLD) == 0:
            cold.append(await once(bench, "cold", f"{number:08x}" + "b" * 24, imports))
    first, slow = (statistics.median(line for line, _ in found) for found in (warm, cold))
    whole, slowly = (statistics.median(end for _, end in found) for found in (warm, cold))
    worst = max(line for line, _ in warm)
    print(f"\nfirst line with {', '.join(WANTED)}:")
    print(f"warm {first:.0f} ms (worst of {WARM}: {worst:.0f}), cold {slow:.0f} ms")
    print(f"ratio {slow / first:.0f}; limit 100 ms: {'met' if first <= 100 else 'missed'}")
    print(f"request to result: warm {whole:.0f} ms, cold {slowly:.0f} ms, ratio {slowly / whole:.0f}")


async def test_an_empty_program_warm_against_cold(tmp_path: Path) -> None:
    bench = make_bench(tmp_path)
    found = {start: [] for start in ("warm", "cold")}  # type: dict[str, list[tuple[float, float]]]
    await once(bench, "warm", "f" * 32, "")
    for number in range(15):
        for start in found:
            found[start].append(await once(bench, start, f"{number:08x}" + start[0].encode().hex() * 12, ""))
    for at, what in enumerate(("first line", "result")):
        warm, cold = (statistics.median(times[at] for times in found[start]) for start in ("warm", "cold"))
        print(f"\nempty program, {what}: warm {warm:.0f} ms, cold {cold:.0f} ms, ratio {cold / warm:.1f}")
