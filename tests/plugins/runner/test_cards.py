"""Which cards there are, which of them are ours, and what a program sees of its own."""

from __future__ import annotations

import os
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from structlog.testing import capture_logs

from gome.plugins.runner.sandbox import cards, nvml, plugin
from gome.plugins.runner.sandbox.nvml import Card
from tests.plugins.runner.nvml_double import Double, FakeCard, two_cards

A, B = "GPU-aaaa1111-0000", "GPU-aaaa2222-0000"


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (None, [A, B]),
        ("", []),
        ("0", [A]),
        ("1,0", [B, A]),
        (f" {B} ", [B]),
        ("GPU-aaaa2", [B]),  # a beginning that no other has
        ("GPU-aaaa", []),  # one that two have
        ("1,7,0", [B]),  # CUDA stops at what it does not know
        ("0,0", [A]),
        ("-1", []),
        ("MIG-1234", []),
        ("NoDevFiles", []),
    ],
)
def test_only_the_cards_that_the_environment_leaves_us_are_given_out(wanted: str | None, expected: list[str]) -> None:
    environment = {} if wanted is None else {"CUDA_VISIBLE_DEVICES": wanted}
    found = cards.discover(two_cards(), environment)
    assert ([card.id for card in found.usable], found.source, found.problem) == (expected, "NVML", "")
    assert {card.id for card, _ in found.others} == {A, B} - set(expected)


def test_a_card_that_is_split_into_instances_is_left_alone() -> None:
    library = Double([FakeCard(A, mig=1), FakeCard(B)])
    found = cards.discover(library, {})
    assert [card.id for card in found.usable] == [B]
    assert [(card.id, "MIG" in why) for card, why in found.others] == [(A, True)]


@pytest.fixture
def smi(tmp_path: Path) -> Any:
    """Puts a program called nvidia-smi on a path of its own."""

    def put(script: str) -> dict[str, str]:
        executable = tmp_path / "nvidia-smi"
        executable.write_text(f"#!/bin/sh\n{textwrap.dedent(script)}")
        executable.chmod(0o755)
        return {"PATH": f"{tmp_path}:/usr/bin:/bin"}

    return put


LISTED = """
case "$*" in
  "--query-gpu=index,uuid,name,memory.total,mig.mode.current --format=csv,noheader,nounits") ;;
  *) echo "unexpected: $*" >&2; exit 2 ;;
esac
echo "0, GPU-aaaa1111-0000, NVIDIA H100 80GB HBM3, 81559, Enabled"
echo "1, GPU-aaaa2222-0000, Tesla T4, 15360, [N/A]"
echo "2, GPU-aaaa3333-0000, Tesla T4, [N/A], Disabled"
"""


def test_without_the_library_nvidia_smi_is_asked(smi: Any, tmp_path: Path) -> None:
    found = cards.discover(None, {**smi(LISTED), "CUDA_VISIBLE_DEVICES": "2,1,0"}, tmp_path)
    assert found.source == "nvidia-smi"
    assert found.usable == (
        Card("GPU-aaaa3333-0000", 2, "Tesla T4", 0),
        Card("GPU-aaaa2222-0000", 1, "Tesla T4", 15360),
    )
    assert [card.index for card, _ in found.others] == [0]


def test_a_driver_that_cannot_be_used_is_named_with_its_reason(smi: Any, tmp_path: Path) -> None:
    failing = smi('echo "NVIDIA-SMI has failed because it couldn\'t communicate with the NVIDIA driver."; exit 9')
    assert "couldn't communicate" in cards.discover(None, failing, tmp_path).problem
    assert "No devices" in cards.discover(None, smi("echo No devices were found"), tmp_path).problem
    library = Double(broken="Driver/library version mismatch")
    assert "version mismatch" in cards.discover(library, {"PATH": ""}, tmp_path).problem


def test_where_nothing_speaks_of_a_driver_nothing_is_wrong(tmp_path: Path) -> None:
    library = Double(broken="NVML Shared Library Not Found")
    assert cards.discover(library, {"PATH": ""}, tmp_path) == cards.Cards()


def test_torch_is_asked_in_a_process_of_its_own_about_all_cards(monkeypatch: Any, tmp_path: Path, smi: Any) -> None:
    (tmp_path / "nvidia0").touch()
    fake = smi('[ -z "$CUDA_VISIBLE_DEVICES" ] && echo "[[\\"1-2\\", \\"T4\\", 15000], [\\"\\", \\"T4\\", 15000]]"')
    (tmp_path / "nvidia-smi").rename(tmp_path / "python")
    monkeypatch.setattr(cards.sys, "executable", str(tmp_path / "python"))
    monkeypatch.setattr(cards.importlib.util, "find_spec", lambda name: name == "torch")
    found = cards.discover(None, {**fake, "CUDA_VISIBLE_DEVICES": "1"}, tmp_path)
    assert (found.source, found.usable) == ("torch", (Card("1", 1, "T4", 15000),))
    assert [card.id for card, _ in found.others] == ["GPU-1-2"]


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Iterator[Double]:
    """This machine, as if it had two cards."""
    double = two_cards()
    monkeypatch.setattr(nvml, "library", lambda: double)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    cards.found.cache_clear()
    yield double
    cards.found.cache_clear()


def test_the_kernel_is_told_the_cards_and_so_is_the_doctor(machine: Double) -> None:
    machine.cards[1].mig = 1
    assert plugin.devices is not None and plugin.checks is not None
    assert tuple(plugin.devices()) == (A,)
    lines = {line.name: line.detail for line in plugin.checks()}
    assert lines["gpu 0"] == f"NVIDIA H100 80GB HBM3, 80 GiB, {A}"
    assert "not used, split into MIG instances" in lines["gpu 1"]


def test_the_doctor_names_a_driver_that_does_not_work(machine: Double) -> None:
    machine.broken = "Driver/library version mismatch"
    assert plugin.checks is not None
    (line,) = [line for line in plugin.checks() if line.name == "gpu"]
    assert "version mismatch" in line.detail


SEEN = "\nimport os\nprint(sorted((k, v) for k, v in os.environ.items() if 'CUDA' in k or 'GPU' in k))"


@pytest.mark.anyio
async def test_a_program_sees_its_own_card_and_one_without_sees_none(bench: Any, outputs: str, machine: Double) -> None:
    limits = msgspec.structs.replace(bench.limits, gpus=1)
    done = await bench.run(outputs + SEEN, limits=limits, gpu=B)
    expected = [("CUDA_DEVICE_ORDER", "PCI_BUS_ID"), ("CUDA_VISIBLE_DEVICES", B), ("GOME_GPU_SHARE", "1")]
    assert str(done.stdout).strip() == str(expected)
    assert done.device == "cuda:NVIDIA H100 80GB HBM3"
    done = await bench.run(outputs + SEEN, id="c" * 32)
    assert (str(done.stdout).strip(), done.device) == ("[('CUDA_VISIBLE_DEVICES', '')]", "cpu")
    assert (done.gpu_seconds, done.gpu_peak_mb) == (0.0, 0.0)


def test_a_program_on_a_shared_card_is_told_its_share_less_what_cuda_needs() -> None:
    told = cards.environment(Card("GPU-1", 0, "T4", 10_000), 0.5)
    assert told["GOME_GPU_SHARE"] == told["XLA_PYTHON_CLIENT_MEM_FRACTION"] == "0.4400"
    assert told["CUPY_GPU_MEMORY_LIMIT"] == "44.00%"
    assert cards.environment(Card("GPU-1", 0, "T4", 2_000), 0.2)["GOME_GPU_SHARE"] == "0.1000"
    assert cards.environment(Card("GPU-1", 0, "T4"), 0.3)["GOME_GPU_SHARE"] == "0.3000"


@pytest.mark.parametrize(("version", "takes"), [("2.13.0+cu130", True), ("3.0", True), ("2.5.1", False), ("", False)])
def test_only_a_torch_that_knows_the_option_is_told_its_share(version: str, takes: bool) -> None:
    told = cards.environment(Card("GPU-1", 0, "T4", 10_000), 0.5, version)
    assert told.get("PYTORCH_ALLOC_CONF") == ("per_process_memory_fraction:0.4400" if takes else None)


@pytest.mark.anyio
async def test_without_a_card_programs_run_on_the_cpu_and_the_run_is_told_once(
    bench: Any, outputs: str, machine: Double
) -> None:
    machine.cards.clear()
    limits = msgspec.structs.replace(bench.limits, gpus=1)
    cards._noticed.clear()
    with capture_logs() as logs:
        done = await bench.run(outputs + SEEN, limits=limits)
        await bench.run(outputs, limits=limits, id="c" * 32)
    assert done.ok and done.device == "cpu" and "('CUDA_VISIBLE_DEVICES', '')" in str(done.stdout)
    assert len([line for line in logs if "no GPU here" in line["event"]]) == 1
    cards._noticed.clear()


def test_looking_for_cards_imports_no_torch() -> None:
    import subprocess
    import sys

    script = "from gome.plugins.runner.sandbox import cards; cards.found(); import sys; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=dict(os.environ))
    assert done.stdout.strip() == "False", done.stderr
