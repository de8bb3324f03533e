"""Programs that write outside their folder, and into what the kernel offers."""

from __future__ import annotations

import pytest

from tests.attacks.conftest import Fort

ATTACKS = ("write_inputs", "write_system", "write_proc", "make_devices")


@pytest.mark.parametrize("name", ATTACKS)
def test_nothing_outside_its_folder_can_be_changed(fort: Fort, name: str) -> None:
    found = fort.attack(name)
    assert len(found.lost) > 5, found.result["stderr"]
