"""How an execution's use of its card is measured, and how a share of it is kept."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from gome.plugins.runner.sandbox import cards, nvml, usage
from gome.plugins.runner.sandbox.nvml import Nvml
from gome.plugins.runner.sandbox.telemetry import Meter
from tests.plugins.runner.nvml_double import GIB, Double, two_cards

OURS, OTHERS = [101, 102], [7]


def metered(library: Double, share: float = 1.0) -> Meter:
    """A meter of an execution of two processes on the first card, after its first look at second 0."""
    meter = Meter(Nvml(library), Nvml(library).cards()[0], share, lambda: OURS)
    meter._last = 0.0
    meter.sample(0.0)
    return meter


def test_use_is_summed_over_the_processes_of_the_execution() -> None:
    library = two_cards()
    meter = metered(library)
    card = library.cards[0]
    card.used = lambda: {101: 2 * GIB, 102: GIB, 7: 30 * GIB}
    card.busy = lambda: {101: 30, 102: 20, 7: 40}
    card.utilisation = 90
    meter.sample(2.0)
    card.used = lambda: {101: GIB}
    meter.sample(3.0)
    assert meter.fields() == {"device": f"cuda:{card.name}", "gpu_seconds": 1.5, "gpu_peak_mb": 3072.0}


def test_who_has_the_card_alone_is_given_all_of_it_where_processes_are_not_told_apart() -> None:
    library = two_cards()
    card = library.cards[0]
    card.used, card.busy = lambda: {7: GIB}, None
    meter = metered(library)
    card.used, card.utilisation = lambda: {7: 5 * GIB}, 50  # 7 is what NVML calls our process
    meter.sample(1.0)
    assert (meter.seconds, meter.peak_mb) == (0.5, 4096.0)


def test_of_a_shared_card_without_processes_only_a_share_of_the_utilisation_is_claimed() -> None:
    library = two_cards()
    card = library.cards[0]
    card.busy = None
    meter = metered(library, share=0.25)
    card.used, card.utilisation = lambda: {7: 70 * GIB}, 80
    meter.sample(1.0)
    assert (meter.seconds, meter.peak_mb, meter.exceeded()) == (pytest.approx(0.2), 0.0, False)


@pytest.mark.parametrize(("size", "over"), [(19, False), (21, True)])
def test_more_than_its_share_is_noticed_and_not_forgotten(size: int, over: bool) -> None:
    library = two_cards()
    card = library.cards[0]
    meter = metered(library, share=0.25)
    card.used = lambda: {101: size * GIB, 7: 50 * GIB}
    meter.sample(1.0)
    card.used = lambda: {}
    meter.sample(2.0)
    assert meter.exceeded() is over


def test_a_card_that_is_lost_ends_nothing() -> None:
    library = two_cards()
    meter = metered(library)
    library.cards.clear()
    meter.sample(1.0)
    assert (meter.seconds, meter.exceeded()) == (0.0, False)


@pytest.mark.anyio
async def test_an_execution_that_takes_more_than_its_share_is_stopped_for_memory(
    bench: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    library = two_cards()
    monkeypatch.setattr(nvml, "library", lambda: library)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    cards.found.cache_clear()

    def used() -> dict[int, int | None]:
        """As if each process of the sandbox had taken 30 GiB."""
        found = [json.loads(path.read_text())["pid"] for path in Path(bench.home).glob("work/*/process.json")]
        return {pid: 30 * GIB for launcher in found for pid in usage.descendants(launcher)}

    library.cards[1].used = used
    limits = msgspec.structs.replace(bench.limits, gpus=1, gpu_share=0.25, seconds=60.0)
    try:
        done = await bench.run("import time; time.sleep(600)", limits=limits, gpu=library.cards[1].uuid)
    finally:
        cards.found.cache_clear()
    assert (done.ok, done.failure) == (False, "memory")
    assert "more than its share (0.25) of the GPU's memory" in done.error
    assert done.gpu_peak_mb >= 30 << 10
