"""The graphics cards that programs may be given, and what a program is told about the one it has.

Cards are found with NVML, else nvidia-smi, else torch in a process of its own, and cut to what `CUDA_VISIBLE_DEVICES`
in gome's own environment leaves of them, by index (in the order of the bus) or UUID: the rest belongs to others.
Cards that are split into MIG instances are left alone. Executions of one gome process are kept apart; gome processes
side by side on one machine know nothing of each other and are given a card each by that variable. Called by the plugin
value (`Plugin.devices`), `perform.py` and `gome doctor`.

    CUDA_VISIBLE_DEVICES   the UUID of the program's card; empty for programs without one
    GOME_GPU_SHARE         share in (0, 1] of the card's memory that the program's libraries may take; not set without
                           a card. On a shared card it is a little less than `sandbox.gpu_share`: CUDA itself needs some
"""

from __future__ import annotations

import csv
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from gome.events import Limits
from gome.kernel.plugin import Check, Context
from gome.plugins.runner.sandbox import nvml
from gome.plugins.runner.sandbox.nvml import Card

CONTEXT_MB = 600
"""MiB of a card that CUDA takes for a process before its first array; what it really is depends on card and driver."""
TORCH_TAKES_SHARE = (2, 13)
"""Version of torch from which its allocator reads `per_process_memory_fraction` from the environment for sure; others
stop at an option that they do not know."""

SMI_FIELDS = "index,uuid,name,memory.total,mig.mode.current"
TORCH_SCRIPT = """
import json, torch
found = [torch.cuda.get_device_properties(i) for i in range(torch.cuda.device_count())]
print(json.dumps([[str(getattr(card, "uuid", "")), card.name, card.total_memory >> 20] for card in found]))
"""


@dataclass(frozen=True)
class Cards:
    """What was found: cards for programs, cards that are not (with the reason), and why the driver that is there cannot
    be used ("" where it can, or there is none). `source` found them."""

    usable: tuple[Card, ...] = ()
    others: tuple[tuple[Card, str], ...] = ()
    problem: str = ""
    source: str = ""

    def get(self, id: str) -> Card:
        """The usable card of that name; raises `KeyError`."""
        return {card.id: card for card in self.usable}[id]


@lru_cache(maxsize=1)
def found() -> Cards:
    """The cards of this machine, looked for once per process: about 0.1 s with a driver, nothing without."""
    return discover(nvml.library(), os.environ)


def ids() -> tuple[str, ...]:
    """Names of the usable cards, for the kernel to hand out."""
    return tuple(card.id for card in found().usable)


def discover(lib: nvml.Library | None, environment: Mapping[str, str], files: Path = Path("/dev")) -> Cards:
    """Look for cards, the quickest way first; `files` is where a driver's device files would be."""
    wanted, problems = environment.get("CUDA_VISIBLE_DEVICES"), []
    if lib is not None:
        try:
            return chosen(nvml.Nvml(lib).cards(), wanted, "NVML")
        except nvml.NoNvml as error:
            problems += [str(error)] if error.driver else []
    if smi := shutil.which("nvidia-smi", path=environment.get("PATH", "")):
        try:
            return chosen(_from_smi(smi, environment), wanted, "nvidia-smi")
        except _Unusable as error:
            problems.append(f"nvidia-smi: {error}")
    if any(files.glob("nvidia[0-9]*")):
        if importlib.util.find_spec("torch") is None:
            problems.append(f"{files}/nvidia* is there, but nothing to ask it with: install gome[gpu]")
        try:
            return chosen(_from_torch(environment), wanted, "torch")
        except _Unusable as error:
            problems.append(f"torch: {error}")
    return Cards(problem="; ".join(problems))


class _Unusable(Exception):
    """Somebody who was asked for cards has none to name."""


def _asked(command: list[str], environment: Mapping[str, str], seconds: float) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=seconds, env=dict(environment))
    except (OSError, subprocess.TimeoutExpired) as error:
        raise _Unusable(str(error)) from None
    if done.returncode:
        raise _Unusable(" ".join((done.stdout.strip() or done.stderr.strip()).splitlines()[-1:])[:300])
    return done.stdout


def _from_smi(executable: str, environment: Mapping[str, str]) -> list[Card]:
    listed = _asked([executable, f"--query-gpu={SMI_FIELDS}", "--format=csv,noheader,nounits"], environment, 20)
    rows = [row for row in csv.reader(listed.splitlines(), skipinitialspace=True) if len(row) == 5 and row[0].isdigit()]
    if not rows:
        raise _Unusable(f"lists no card: {' '.join(listed.split())[:200] or 'no output'}")
    return [
        Card(uuid, int(index), name, int(memory) if memory.isdigit() else 0, mig=mig == "Enabled")
        for index, uuid, name, memory, mig in rows
    ]


def _from_torch(environment: Mapping[str, str]) -> list[Card]:
    """Ask torch in a process of its own: its import takes seconds, and CUDA must not be touched in gome's process."""
    whole = {k: v for k, v in environment.items() if k != "CUDA_VISIBLE_DEVICES"}
    listed = _asked([sys.executable, "-c", TORCH_SCRIPT], {**whole, "CUDA_DEVICE_ORDER": "PCI_BUS_ID"}, 60)
    rows = json.loads(listed)
    if not rows:
        raise _Unusable("finds no card")
    return [
        Card(f"GPU-{uuid}" if uuid else str(index), index, name, memory)
        for index, (uuid, name, memory) in enumerate(rows)
    ]


def chosen(cards: Sequence[Card], wanted: str | None, source: str) -> Cards:
    """Of all cards those that are for us: all when `wanted` (the value of CUDA_VISIBLE_DEVICES) is None, else those
    that it names, in its order; like CUDA we stop at the first entry that names none."""
    named = list(cards)
    if wanted is not None:
        named = []
        for entry in (part.strip() for part in wanted.split(",")):
            card = _named(cards, entry)
            if card is None or card in named:
                break
            named.append(card)
    usable = tuple(card for card in named if not card.mig)
    others = [(card, "not in CUDA_VISIBLE_DEVICES") for card in cards if card not in named]
    others += [(card, "split into MIG instances, which are left alone") for card in named if card.mig]
    return Cards(usable, tuple(others), source=source)


def _named(cards: Sequence[Card], entry: str) -> Card | None:
    """A card by index, UUID, or a beginning of its UUID that no other card has."""
    if entry.isdigit():
        return next((card for card in cards if card.index == int(entry)), None)
    found = [card for card in cards if entry.startswith("GPU-") and card.id.startswith(entry)]
    return found[0] if len(found) == 1 else None


_noticed: set[str] = set()


def granted(ctx: Context, limits: Limits) -> Card | None:
    """The card that an execution was given; None, with one notice per run, where it could use one and none is here."""
    if not limits.gpus:
        return None
    if ctx.gpu is not None:
        return found().get(ctx.gpu)
    if ctx.run not in _noticed:
        _noticed.add(ctx.run)
        why = found().problem or "; ".join(f"GPU {card.index} is {why}" for card, why in found().others)
        ctx.log.warning("no GPU here: programs that could use one run on the CPU", why=why or "there is no driver")
    return None


def environment(card: Card | None, share: float, torch: str = "") -> dict[str, str]:
    """What a program is told of its card. Where several share one, JAX, CuPy and torch keep to the share by themselves
    if told so here (`torch` is the version that the program would import, "" for none); TensorFlow and others only have
    GOME_GPU_SHARE to read, and `telemetry.py` stops who takes more."""
    if card is None:
        return {"CUDA_VISIBLE_DEVICES": ""}
    told = {"CUDA_VISIBLE_DEVICES": card.id, "CUDA_DEVICE_ORDER": "PCI_BUS_ID", "GOME_GPU_SHARE": "1"}
    if share >= 1:
        return told
    part = share
    if card.memory_mb:
        part = max(share / 2, share - CONTEXT_MB / card.memory_mb)
    text = f"{part:.4f}"
    told |= {
        "GOME_GPU_SHARE": text,
        "XLA_PYTHON_CLIENT_MEM_FRACTION": text,
        "CUPY_GPU_MEMORY_LIMIT": f"{part:.2%}",
        "TF_FORCE_GPU_ALLOW_GROWTH": "true",
    }
    if _takes_share(torch):
        told["PYTORCH_ALLOC_CONF"] = f"per_process_memory_fraction:{text}"
    return told


def _takes_share(torch: str) -> bool:
    numbers = re.match(r"(\d+)\.(\d+)", torch)
    return numbers is not None and tuple(map(int, numbers.groups())) >= TORCH_TAKES_SHARE


def checks() -> list[Check]:
    """Lines of `gome doctor`; a card that cannot be used is no fault, since programs then run on the CPU."""
    cards = found()
    lines = [Check(f"gpu {card.index}", True, f"{_described(card)}, {card.id}") for card in cards.usable]
    lines += [Check(f"gpu {card.index}", True, f"{_described(card)}: not used, {why}") for card, why in cards.others]
    if cards.problem:
        lines.append(Check("gpu", True, f"a driver is there but cannot be used ({cards.problem}): programs do without"))
    elif cards.usable and cards.source != "NVML":
        lines.append(Check("gpu use", True, "not measured, shares not enforced: pip install 'gome[gpu]' for NVML"))
    return lines


def _described(card: Card) -> str:
    return f"{card.name}, {card.memory_mb / 1024:.0f} GiB" if card.memory_mb else card.name
