"""Programs that read what is not theirs: answers, secrets, other runs, home folders, the machine."""

from __future__ import annotations

import pytest

from tests.attacks.conftest import Fort

ATTACKS = ("read_answers", "read_environment", "read_other_run", "read_homes", "read_kernel", "type_into_terminals")


@pytest.mark.parametrize("name", ATTACKS)
def test_what_is_not_shown_cannot_be_read(fort: Fort, name: str) -> None:
    found = fort.attack(name)
    assert found.lost, "it has tried nothing"
    assert found.result["exit_code"] == 0, found.result["stderr"]
