"""What is asked of NVIDIA's library: the double and the module itself are held to one contract."""

from __future__ import annotations

import inspect
import os
from pathlib import Path
from typing import Any

import pytest

from gome.plugins.runner.sandbox.nvml import Library, NoNvml, Nvml
from tests.plugins.runner.nvml_double import Double, FakeCard, two_cards

FUNCTIONS = [name for name in vars(Library) if name.startswith("nvml")]


def real() -> Any:
    """The module, on a machine with a card."""
    module = pytest.importorskip("pynvml", reason="nvidia-ml-py is not installed (gome[gpu])")
    try:
        module.nvmlInit()
    except module.NVMLError as error:
        pytest.skip(f"no NVIDIA card that could be asked: {error}")
    return module


@pytest.mark.parametrize("library", [two_cards, pytest.param(real, marks=pytest.mark.gpu)])
def test_cards_can_be_listed_and_looked_at(library: Any) -> None:
    nvml = Nvml(library())
    cards = nvml.cards()
    assert cards and [card.index for card in cards] == list(range(len(cards)))
    assert len({card.id for card in cards}) == len(cards)
    for card in cards:
        assert card.id.startswith("GPU-") and card.name and card.memory_mb > 1000
        assert card.minor is None or card.minor >= 0
        reading = nvml.look(card.id, 0)
        assert 0 <= reading.busy <= 1 and 0 < reading.used_mb <= card.memory_mb
        assert all(0 <= part <= 1 for part in reading.busy_by.values())
    with pytest.raises(NoNvml):
        nvml.look("GPU-00000000-0000-0000-0000-000000000000", 0)


def test_the_module_has_the_functions_that_are_asked_of_it() -> None:
    module = pytest.importorskip("pynvml", reason="nvidia-ml-py is not installed (gome[gpu])")
    assert issubclass(module.NVMLError, Exception)
    for name in FUNCTIONS:
        expected = len(inspect.signature(getattr(Double, name)).parameters) - 1
        inspect.signature(getattr(module, name)).bind(*range(expected))


def test_the_module_says_that_there_is_no_driver() -> None:
    module = pytest.importorskip("pynvml", reason="nvidia-ml-py is not installed (gome[gpu])")
    if any(Path("/dev").glob("nvidia[0-9]*")) or os.path.exists("/proc/driver/nvidia"):
        pytest.skip("there is a driver here")
    with pytest.raises(NoNvml) as caught:
        Nvml(module)
    assert not caught.value.driver


def test_what_a_driver_cannot_say_is_left_open() -> None:
    library = Double([FakeCard("GPU-1", minor=None, mig=None, used=lambda: {7: None}, busy=None, utilisation=40)])
    (card,) = Nvml(library).cards()
    assert (card.minor, card.mig) == (None, False)
    reading = Nvml(library).look("GPU-1", 0)
    assert (reading.busy, reading.used_by, reading.busy_by) == (0.4, {}, {})
