"""Import of look-alikes of the published traces, as a ratio to a raw parse by msgspec, and the memory that it takes.

`GOME_BENCH_SCALE` is the share of the published sizes (default 0.1; the figures of the README are taken at 1). Every
import runs in a process of its own, as a person starts it, against the embedded server.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.lookalikes import SIZES, shape_for, write

pytestmark = pytest.mark.bench
SCALE = float(os.environ.get("GOME_BENCH_SCALE", "0.1"))  # read before tests are cut off from the environment
PARSE = """
import re, sys, time, msgspec
data = open(sys.argv[1], "rb").read()
# msgspec reads no NaN; the same number of bytes, so that it can.
data = re.sub(rb": NaN|: Infinity", lambda m: b": 1".ljust(len(m[0])), data)
began = time.perf_counter()
msgspec.json.decode(data)
print(time.perf_counter() - began)
"""


def test_import_of_look_alikes(tmp_path: Path) -> None:
    files = [
        write(tmp_path / f"{name}.json", shape_for(int(size * SCALE)), seed)
        for seed, (name, size) in enumerate(SIZES.items())
    ]
    sizes = [f.stat().st_size for f in files]
    parsed = [subprocess.run([sys.executable, "-c", PARSE, str(f)], check=True, capture_output=True) for f in files]
    raw = sum(float(p.stdout) for p in parsed)
    environment = {**os.environ, "GOME_HOME": str(tmp_path / "home")}
    command = [sys.executable, "-m", "gome.kernel.cli", "import", *map(str, files), "--json"]
    print(f"\n{sum(sizes) / 1e6:.0f} MB in {len(files)} files; msgspec parses them in {raw:.2f} s")
    for what in ("import", "second import"):
        began = time.perf_counter()
        done = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, cwd=tmp_path)
        assert done.stdout is not None
        told = [json.loads(line) for line in done.stdout]
        _, status, used = os.wait4(done.pid, 0)
        seconds = time.perf_counter() - began
        assert os.waitstatus_to_exitcode(status) == 0 and all(t["complete"] for t in told)
        cpu, peak = used.ru_utime + used.ru_stime, used.ru_maxrss * 1024
        loops, added = (sum(t[name] for t in told) for name in ("loops", "added"))
        share = peak / max(sizes)
        print(f"{what}: {seconds:.1f} s wall ({seconds / raw:.1f} × the raw parse), {cpu:.1f} s of CPU")
        print(f"    peak {peak / 1e6:.0f} MB ({share:.2f} × the largest file); {loops:,} loops, {added:,} added")
