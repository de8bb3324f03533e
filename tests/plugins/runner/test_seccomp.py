"""The filter of system calls: as data, what it answers a real program, and that libraries for numbers live with it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import msgspec
import pytest

from gome.plugins.runner.sandbox import plugin, seccomp

CALLS = {**seccomp.REFUSED}
for _name in ("CLONE", "UNSHARE", "CLONE3", "SOCKET", "SOCKETPAIR", "IOCTL", "PERSONALITY", "MKNOD", "MKNODAT"):
    CALLS[_name.lower()] = getattr(seccomp, _name)

ALLOWED, EPERM, ENOSYS, EAFNOSUPPORT = 0x7FFF0000, 0x50001, 0x50026, 0x50061


def answer(machine: str, number: int, *arguments: int, graphics: bool = False, architecture: int = 0) -> int:
    """What the filter returns for a call: a run of its instructions."""
    _, ours = seccomp.ARCHITECTURES[machine]
    data = {0: number, 4: architecture or ours, **{16 + 8 * i: value for i, value in enumerate(arguments)}}
    code = seccomp.instructions(machine, graphics=graphics)
    at = value = 0
    while True:
        operation, yes, no, operand = code[at]
        at += 1
        if operation == 0x06:
            return operand
        if operation == 0x20:
            value = data.get(operand, 0)
        else:
            held = {0x15: value == operand, 0x35: value >= operand, 0x45: bool(value & operand)}[operation]
            at += yes if held else no


@pytest.mark.parametrize(("machine", "header"), [("x86_64", "asm/unistd_64.h"), ("aarch64", "asm-generic/unistd.h")])
def test_the_numbers_are_those_of_the_kernels_headers(machine: str, header: str) -> None:
    found = [p / header for p in (Path("/usr/include/x86_64-linux-gnu"), Path("/usr/include")) if (p / header).exists()]
    if not found:
        pytest.skip("no kernel headers here")
    pattern = r"#define __NR(?:3264)?_(\w+)\s+(\d+)"
    numbers = {name: int(number) for name, number in re.findall(pattern, found[0].read_text())}
    column = seccomp.ARCHITECTURES[machine][0]
    known = {name: pair[column] for name, pair in CALLS.items() if name in numbers}
    assert len(known) > 60
    assert known == {name: numbers[name] for name in known}


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_calls_are_answered_by_their_arguments(machine: str) -> None:
    column = seccomp.ARCHITECTURES[machine][0]

    def ask(name: str, *arguments: int, graphics: bool = False) -> int:
        number = CALLS[name][column]
        assert number is not None
        return answer(machine, number, *arguments, graphics=graphics)

    thread, new_user, new_time = 0x3D0F00, 0x10000000, 0x80
    assert ask("clone", thread) == ask("clone", 0x1200011) == ask("unshare", 0x400) == ALLOWED
    assert ask("clone", new_user | 17) == ask("unshare", new_user) == ask("unshare", new_time) == EPERM
    assert ask("clone3") == ENOSYS
    assert ask("socket", 1, 1) == ask("socketpair", 1, 1) == ask("socket", 16, 3, graphics=True) == ALLOWED
    assert {ask("socket", family) for family in (2, 10, 16, 17, 38, 40)} == {EAFNOSUPPORT}
    assert ask("socket", 2, graphics=True) == EAFNOSUPPORT
    assert (ask("ioctl", 0, 0x5401), ask("ioctl", 0, 0x5412), ask("ioctl", 0, 0x541C)) == (ALLOWED, EPERM, EPERM)
    assert (ask("personality", 0xFFFFFFFF), ask("personality", 0x40000)) == (ALLOWED, EPERM)
    fifo, plain, character, block = 0o010644, 0o100644, 0o020644, 0o060644
    assert [ask("mknodat", 0, 0, mode) for mode in (fifo, plain, character, block)] == [ALLOWED, ALLOWED, EPERM, EPERM]
    assert {ask(name) for name, pair in seccomp.REFUSED.items() if pair[column]} == {EPERM}


def test_calls_of_another_architecture_end_the_program() -> None:
    x86 = 0x40000003
    assert answer("x86_64", 1, architecture=x86) == answer("aarch64", 1, architecture=x86) == 0x80000000
    assert answer("x86_64", 0x40000000) == ENOSYS


def test_the_doctor_says_whether_system_calls_are_filtered() -> None:
    assert plugin.checks is not None
    (line,) = [line for line in plugin.checks() if line.name == "system calls"]
    problem = seccomp.problem()
    assert line.detail == (f"not filtered: {problem}" if problem else "filtered with seccomp")


def test_a_machine_without_a_list_gets_no_filter_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.machine", lambda: "riscv64")
    seccomp.problem.cache_clear()
    seccomp.encoded.cache_clear()
    try:
        assert seccomp.encoded(graphics=False) == ""
        assert "riscv64" in seccomp.problem()
    finally:
        seccomp.problem.cache_clear()
        seccomp.encoded.cache_clear()


@pytest.mark.anyio
@pytest.mark.parametrize("isolation", ["auto", "none"])
async def test_programs_run_filtered_with_and_without_namespaces(bench: Any, outputs: str, isolation: str) -> None:
    if seccomp.problem():
        pytest.skip(seccomp.problem())
    bench.settings["isolation"], bench.unsafe = isolation, True
    done = await bench.run(
        f"""{outputs}
import json, socket
try:
    socket.socket()
    said = ""
except OSError as error:
    said = error.errno
filters = [line.split()[1] for line in open("/proc/self/status") if line.startswith("Seccomp:")]
print(json.dumps([said, *filters]))"""
    )
    assert json.loads(str(done.stdout)) == [97, "2"]


LIBRARIES = """
import importlib.util, json, multiprocessing, os, subprocess, tempfile, threading
import numpy as np, pandas as pd

def square(x):
    return x * x

if __name__ == "__main__":
    said = {}
    rng = np.random.default_rng(0)
    table = pd.DataFrame(rng.normal(size=(300, 4)), columns=list("abcd"))
    y = (table["a"] > 0).astype(int)
    said["pandas"] = float(table.groupby(y)["a"].mean().iloc[1]) > 0
    from joblib import Parallel, delayed
    said["loky"] = Parallel(n_jobs=2)(delayed(square)(i) for i in range(3))
    with multiprocessing.get_context("fork").Pool(2) as pool:
        said["fork"] = pool.map(square, range(3))
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        said["spawn"] = pool.map(square, range(3))
    said["subprocess"] = subprocess.run(["/bin/sh", "-c", "echo hello | tr h j"], capture_output=True, text=True).stdout
    from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
    from sklearn.model_selection import cross_val_score
    said["sklearn"] = len(cross_val_score(RandomForestClassifier(5), table, y, cv=3, n_jobs=2))
    said["hist"] = HistGradientBoostingClassifier(max_iter=3).fit(table, y).score(table, y) > 0.5
    import lightgbm
    said["lightgbm"] = lightgbm.LGBMClassifier(n_estimators=3, n_jobs=2, verbose=-1).fit(table, y).score(table, y) > 0.5
    if importlib.util.find_spec("torch"):
        import torch
        from torch.utils.data import DataLoader, TensorDataset
        data = TensorDataset(torch.tensor(table.to_numpy(), dtype=torch.float32), torch.tensor(y.to_numpy()))
        model = torch.nn.Linear(4, 2)
        optimizer = torch.optim.SGD(model.parameters(), 0.1)
        rows = 0
        for features, labels in DataLoader(data, batch_size=100, num_workers=2):
            loss = torch.nn.functional.cross_entropy(model(features), labels)
            optimizer.zero_grad(); loss.backward(); optimizer.step()
            rows += len(labels)
        said["torch"] = rows
    print(json.dumps(said))
"""


@pytest.mark.anyio
async def test_libraries_for_numbers_and_their_workers_run_under_the_filter(bench: Any) -> None:
    limits = msgspec.structs.replace(bench.limits, seconds=90, memory_mb=4000, processes=256, cores=2)
    done = await bench.run(LIBRARIES, limits=limits)
    assert done.stdout is not None and done.exit_code == 0, done.stderr
    found = json.loads(str(done.stdout).splitlines()[-1])
    assert found.pop("torch", 300) == 300
    assert found == {
        **dict.fromkeys(("pandas", "hist", "lightgbm"), True),
        **{name: [0, 1, 4] for name in ("loky", "fork", "spawn")},
        "subprocess": "jello\n",
        "sklearn": 3,
    }
