"""The vault: grades of a run in a chain of their own, each once, whoever records them."""

from __future__ import annotations

from pathlib import Path

import pytest

from gome.events import SubmissionGraded
from gome.kernel.connect import Vaults, connect, grades
from gome.kernel.settings import Settings

pytestmark = pytest.mark.anyio


async def test_a_grade_recorded_again_by_another_process_is_stored_once(tmp_path: Path) -> None:
    async with connect(Settings(home=tmp_path), memory=True) as connection:
        grade = SubmissionGraded(attempt="a1", score=0.5)
        for vaults in (Vaults(connection), Vaults(connection)):
            await vaults.of("r", "intent-1").record(grade)
            await vaults.of("r", "intent-1").record(grade)
        await Vaults(connection).of("r", "intent-2").record(SubmissionGraded(attempt="a2", score=0.4))
        assert (await connection.vault.head("r")).seq == 2
        assert {k: g.score for k, g in (await grades(connection, "r")).items()} == {"a1": 0.5, "a2": 0.4}


async def test_answers_are_kept_in_a_folder_that_only_the_owner_may_read(tmp_path: Path) -> None:
    async with connect(Settings(home=tmp_path), memory=True) as connection:
        digest = connection.answers.put(b"id,price\n1,2\n")
        assert Vaults(connection).of("r", "i").answers(digest) == b"id,price\n1,2\n"
        assert (tmp_path / "vault").stat().st_mode & 0o077 == 0
        assert not connection.artifacts.has(digest)


async def test_a_run_without_grades_has_none(tmp_path: Path) -> None:
    async with connect(Settings(home=tmp_path), memory=True) as connection:
        assert await grades(connection, "nobody") == {}
