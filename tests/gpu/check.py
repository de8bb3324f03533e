"""What only a machine with an NVIDIA card can show: that a sandboxed program has just the card that it was given.

`make gpu` runs it (about a minute; it needs `gome[gpu]` and a torch built for CUDA). Each check prints a line; the exit
status is 1 when one fails and 2 where there is nothing to check, with the reason. Programs run through the plugin's own
`perform`, in the sandbox, cold and warm.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import anyio
import msgspec

sys.path.insert(0, str(Path(__file__).parents[2]))

from gome.events import ExecutionFinished
from gome.plugins.runner.sandbox import cards, plugin
from gome.plugins.runner.sandbox.probe import probe
from tests.plugins.runner.conftest import OUTPUTS, Bench, make_bench

SEEN = """
import glob, json, os, torch
print(json.dumps({
    "cards": torch.cuda.device_count(),
    "uuids": [str(torch.cuda.get_device_properties(i).uuid) for i in range(torch.cuda.device_count())],
    "files": [p for p in glob.glob("/dev/nvidia*") if p[11:].isdigit()],
    "visible": os.environ.get("CUDA_VISIBLE_DEVICES"),
}))
"""
WORK = """
import time, torch
a = torch.randn(8192, 8192, device="cuda")
began = time.time()
while time.time() - began < 6:
    a = torch.nn.functional.normalize(a @ a)
torch.cuda.synchronize()
print(float(a.sum()))
"""
TORCH_KEEPS = """
import os, torch
share = float(os.environ["GOME_GPU_SHARE"])
total = torch.cuda.get_device_properties(0).total_memory
within = torch.empty(int(total * share * 0.5), dtype=torch.int8, device="cuda")
try:
    torch.empty(int(total * share * 0.8), dtype=torch.int8, device="cuda")
except torch.OutOfMemoryError:
    print("kept")
"""
GREEDY = """
import time, torch
torch.cuda.set_per_process_memory_fraction(1.0)
total = torch.cuda.get_device_properties(0).total_memory
held = torch.ones(int(total * 0.2), dtype=torch.int8, device="cuda")
torch.cuda.synchronize()
time.sleep(30)
"""


class Checks:
    """Runs programs and keeps score."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.failed = 0
        self.number = 0

    def say(self, what: str, ok: bool, found: object) -> None:
        self.failed += not ok
        print(f"{'ok' if ok else 'FAILED':7} {what}: {found}", flush=True)

    async def run(self, program: str, gpu: str | None, share: float = 1.0) -> ExecutionFinished:
        self.number += 1
        limits = msgspec.structs.replace(
            self.bench.limits, seconds=90.0, memory_mb=16_000, processes=512, gpus=int(gpu is not None), gpu_share=share
        )
        return await self.bench.run(OUTPUTS + program, id=f"{self.number:032x}", limits=limits, gpu=gpu)


def told(done: ExecutionFinished) -> Any:
    """What a program printed as JSON, or why it did not."""
    try:
        return json.loads(str(done.stdout).strip().splitlines()[-1])
    except (IndexError, ValueError):
        return {"error": done.error, "failure": done.failure}


async def check(checks: Checks, start: str) -> None:
    """All checks with one way to start programs."""
    checks.bench.settings["start"] = start
    for card in cards.found().usable[:2]:
        done = await checks.run(SEEN, card.id)
        seen = told(done)
        one = seen.get("cards") == 1 and [f"GPU-{uuid}" for uuid in seen["uuids"]] == [card.id]
        checks.say(f"{start}: torch sees the one card {card.index}", one, seen)
        files = seen.get("files")
        checks.say(f"{start}: one device file", files == [f"/dev/nvidia{card.minor}"] or card.minor is None, files)
    card = cards.found().usable[0]
    seen = told(await checks.run(SEEN, None))
    checks.say(f"{start}: a program without a card sees none", (seen.get("cards"), seen.get("files")) == (0, []), seen)
    done = await checks.run(WORK, card.id)
    measured = {"gpu_seconds": done.gpu_seconds, "gpu_peak_mb": done.gpu_peak_mb, "device": done.device}
    busy = done.ok and done.gpu_seconds > 1 and done.gpu_peak_mb > 256 and done.device == f"cuda:{card.name}"
    checks.say(f"{start}: use is measured", busy, measured if done.ok else done.error)
    done = await checks.run(TORCH_KEEPS, card.id, share=0.1)
    kept = done.ok and "kept" in str(done.stdout)
    checks.say(f"{start}: torch keeps to its share", kept, str(done.stdout).strip() or done.error)
    done = await checks.run(GREEDY, card.id, share=0.1)
    stopped = done.failure == "memory" and "share" in done.error
    checks.say(f"{start}: who takes more than its share is stopped", stopped, done.error or "it was not stopped")


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--isolation", default="auto", help="as sandbox.isolation")
    chosen = options.parse_args()
    found = cards.found()
    for line in plugin.checks() if plugin.checks else ():
        print(f"doctor  {line.name}: {line.detail}")
    if not found.usable or found.source != "NVML":
        why = found.problem or "; ".join(why for _, why in found.others) or "there is no NVIDIA driver"
        print(f"nothing to check: {why if not found.usable else 'nvidia-ml-py is not installed (gome[gpu])'}")
        return 2
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        bench = make_bench(Path(folder))
        bench.settings["isolation"] = chosen.isolation
        bench.unsafe = probe(chosen.isolation).kind == "none"
        checks = Checks(bench)
        for start in ("cold", "warm"):
            anyio.run(check, checks, start)
    print(f"{checks.failed} failed, {time.monotonic() - began:.0f} s")
    return 1 if checks.failed else 0


if __name__ == "__main__":
    sys.exit(main())
