"""Three traces beside a busy loop against the same three traces on an idle machine.

Programs get one thread per slot, passive waiting and a pinned core, so a busy neighbour should cost its share of the
machine and no more. Two spinning threads per program would make the ratio ten and above.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.bench


def three_steps(folder: Path, run: str) -> dict[str, Any]:
    """One step on each of three traces, and the baseline, with the same seeds each time, and each time really run."""
    (folder / "gome.toml").write_text("[sandbox]\ncache = false\n")
    command = [sys.executable, "-m", "gome.kernel.cli", "run", "ames", "--steps", "3", "--run", run, "--json"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    assert found["cached"] == 0
    return found


def test_three_traces_beside_a_busy_loop(tmp_path: Path) -> None:
    three_steps(tmp_path, "warm")
    idle = three_steps(tmp_path, "idle")["seconds"]
    loop = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        busy = three_steps(tmp_path, "busy")["seconds"]
    finally:
        loop.kill()
        loop.wait()
    cores = len(os.sched_getaffinity(0))
    share = (cores + 1) / cores
    print(f"\nthree traces: idle {idle:.1f} s, beside a busy loop {busy:.1f} s: ratio {busy / idle:.2f}")
    print(f"a fair share of {cores} cores with one more process would be a ratio of {share:.2f} to {2:.2f}")
