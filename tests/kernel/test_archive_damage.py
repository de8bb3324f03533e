"""Archives that were cut, flipped, forged or made by somebody else: what is damaged is named and the rest is kept."""

from __future__ import annotations

import json
import random
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from msgspec import structs

from gome.events import CODEC, Draft, Head, NoteAdded, Sealed, Writer, seal
from gome.kernel.archive import Archive
from gome.kernel.archive_import import Taken
from gome.kernel.archive_log import archived
from gome.kernel.cli.opening import folded
from gome.kernel.errors import ArtifactMissing, GomeError, UsageError
from tests.kernel import archives
from tests.kernel.archives import RUN, everything, home, rewrite, take

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("toys_installed")]
RECORDS = f"runs/{RUN}/commits.jsonl"


@pytest.fixture(scope="module")
async def made(tmp_path_factory: pytest.TempPathFactory, toys_installed: None) -> Path:
    """An archive with grades."""
    return await archives.make(tmp_path_factory.mktemp("archives"))


@pytest.fixture(scope="module")
async def records(made: Path) -> list[Sealed]:
    """What the archive holds."""
    async with archived(made) as (archive, run):
        return await everything(archive, run)


async def imported(path: Path, folder: Path) -> tuple[Taken, list[bytes]]:
    """Import into an empty home, and again, which must change nothing; returns what was taken and the run's records."""
    async with home(folder) as there:
        taken = await take(there, path)
        kept = [r.stored for r in await everything(there)]
        again = await take(there, path)
        assert [r.stored for r in await everything(there)] == kept
        assert [r.records for r in again.runs] == [0] * len(again.runs)
        assert again.problems == taken.problems
        if kept:
            try:
                await folded(there, RUN)
            except ArtifactMissing as error:
                # The records are there; a text that they name was in the damaged part, and is named.
                digest = str(error).split()[1]
                assert not taken.whole and not there.artifacts.has(digest)
        return taken, kept


def whole_before(stored: bytes, records: list[Sealed], end: int) -> int:
    """How many records lie before a byte of the archive's file."""
    start, count = stored.index(records[0].stored), 0
    for record in records:
        start += len(record.stored) + 1
        if start > end:
            return count
        count += 1
    return count


async def test_an_archive_cut_off_anywhere_gives_the_records_before_the_cut(
    made: Path, records: list[Sealed], tmp_path: Path
) -> None:
    stored = made.read_bytes()
    cuts = random.Random(5).sample(range(1, len(stored)), 20)
    for number, cut in enumerate([*cuts, len(stored) - 1, len(stored) - 30]):
        path = tmp_path / f"{number}.gome"
        path.write_bytes(stored[:cut])
        wanted = whole_before(stored, records, cut)
        try:
            taken, kept = await imported(path, tmp_path / f"home{number}")
        except UsageError as error:
            assert wanted == 0 and "no archive" in str(error), cut
            continue
        assert kept == [r.stored for r in records[:wanted]], cut
        assert not taken.whole, cut


async def test_a_flipped_bit_costs_what_it_lies_in_and_nothing_before_it(
    made: Path, records: list[Sealed], tmp_path: Path
) -> None:
    stored = made.read_bytes()
    begin = stored.index(records[0].stored)
    chance = random.Random(7)
    places = [chance.randrange(len(stored)) for _ in range(20)]
    # Headers, the manifest's beginning and the directory are where a reader loses its way.
    places += [0, 14, 18, 22, 26, 30, begin - 60, begin - 40, begin - 20, stored.rindex(b"PK\x05\x06") + 10]
    places += [stored.index(b"PK\x01\x02") + 3]
    for number, place in enumerate(places):
        bad = bytearray(stored)
        bad[place] ^= 1 << chance.randrange(8)
        path = tmp_path / f"{number}.gome"
        path.write_bytes(bad)
        taken, kept = await imported(path, tmp_path / f"home{number}")
        wanted = [r.stored for r in records]
        assert kept == wanted[: len(kept)], place
        if begin <= place < begin + sum(len(r) + 1 for r in wanted):
            assert len(kept) == whole_before(stored, records, place), place
            assert not taken.whole, place
        elif place < begin - 80 or place > begin + sum(len(r) + 1 for r in wanted):
            assert len(kept) in (0, len(wanted)), place


@pytest.mark.parametrize(
    "manifest",
    [
        b"",
        b"[]",
        b"null",
        b'"text"',
        b'{"format": "one"}',
        b'{"format":1,"gome":"x","runs":5,"members":[]}',
        b'{"format":1,"gome":"x","runs":[{"run":1}],"members":[]}',
        b'{"format":1,"gome":"x","runs":[],"members":[{"name":[],"size":-1,"sha256":null}]}',
        b"\xff\xfe",
        b'{"format":NaN}',
        b"[" * 100_000,
    ],
)
async def test_without_a_readable_manifest_the_runs_are_still_taken(
    made: Path, records: list[Sealed], tmp_path: Path, manifest: bytes
) -> None:
    path = rewrite(made, tmp_path / "x.gome", {"manifest.json": manifest})
    taken, kept = await imported(path, tmp_path / "home")
    assert kept == [r.stored for r in records]
    assert any("manifest.json cannot be read" in p for p in taken.problems)


def sealed(head: Head, payload: bytes | None = None, **more: object) -> Sealed:
    """A record with the right hash that says something odd."""
    said = CODEC.saying("0" * 32, NoteAdded(text="x", author="t"), cause="c")
    if payload is not None:
        said = structs.replace(said, payload=payload)
    values = {"lane": "control", "role": "client", "sayings": (said,), **more}
    return seal(Draft(run=RUN, writer=Writer("t"), answers="a", decider="t", **values), head, 1.0)  # type: ignore[arg-type]


ODD: dict[str, Callable[[list[Sealed]], bytes]] = {
    "no record": lambda r: b"{}",
    "not JSON": lambda r: b"\x00\x01\x02",
    "invalid UTF-8": lambda r: r[5].stored.replace(b'"lane":"', b'"lane":"\xff'),
    "nothing": lambda r: b"",
    "nested too deep": lambda r: sealed(r[4].head, b"[" * 50_000 + b"]" * 50_000).stored,
    "a payload of another type": lambda r: sealed(r[4].head, b"[]").stored,
    "a field of another type": lambda r: sealed(r[4].head, b'{"text":5,"author":"t"}').stored,
    "NaN": lambda r: sealed(r[4].head, b'{"text":NaN,"author":"t"}').stored,
    "no event": lambda r: sealed(r[4].head, sayings=()).stored,
    "a gap": lambda r: r[6].stored,
    "the one before": lambda r: r[4].stored,
    "a role that is no name": lambda r: sealed(r[4].head, role="../x").stored,
    "10 MB": lambda r: sealed(r[4].head, b'{"text":"' + b"x" * 10_000_000 + b'","author":"t"}').stored,
}


@pytest.mark.parametrize("odd", ODD)
async def test_a_record_that_is_none_ends_the_run_before_it(
    made: Path, records: list[Sealed], tmp_path: Path, odd: str
) -> None:
    lines = [r.stored for r in records]
    lines[5] = ODD[odd](records)
    path = rewrite(made, tmp_path / "x.gome", {RECORDS: b"".join(line + b"\n" for line in lines)})
    taken, kept = await imported(path, tmp_path / "home")
    assert kept == lines[:5]
    (run,) = taken.runs
    assert run.damage
    with pytest.raises(GomeError):
        async with archived(path) as (archive, name):
            await everything(archive, name)


async def test_a_member_that_is_missing_is_named(made: Path, records: list[Sealed], tmp_path: Path) -> None:
    with Archive(made) as archive:
        names = list(archive.entries)
    for number, name in enumerate(names[1:]):
        path = rewrite(made, tmp_path / f"{number}.gome", {name: None}, named=False)
        taken, kept = await imported(path, tmp_path / f"home{number}")
        assert [p for p in taken.problems if name in p and "missing" in p]
        assert len(kept) == (0 if name == RECORDS else len(records))


async def test_an_artifact_with_other_bytes_is_left_out(made: Path, records: list[Sealed], tmp_path: Path) -> None:
    with Archive(made) as archive:
        name = next(n for n in archive.entries if n.startswith("artifacts/"))
    path = rewrite(made, tmp_path / "x.gome", {name: b"evil"})
    async with home(tmp_path / "home") as there:
        taken = await take(there, path)
        assert [p for p in taken.problems if name in p and "another digest" in p]
        assert not there.artifacts.has(name.removeprefix("artifacts/"))
        assert len(await everything(there)) == len(records)
    async with archived(path) as (archive, _):
        with pytest.raises(GomeError, match="is damaged"):
            archive.artifacts.get(name.removeprefix("artifacts/"))


@pytest.mark.parametrize(
    "name",
    [
        "../../evil",
        "/etc/evil",
        "artifacts/../../evil",
        "artifacts/sha256-xyz",
        "runs/../x/commits.jsonl",
        "runs/a.b/commits.jsonl",
        "C:\\evil",
        "ä",
        "x" * 60_000,
    ],
)
async def test_a_name_that_leads_elsewhere_is_passed_over(
    made: Path, records: list[Sealed], tmp_path: Path, name: str
) -> None:
    (tmp_path / "in").mkdir()
    path = rewrite(made, tmp_path / "in" / "x.gome", {name: b"evil"})
    taken, kept = await imported(path, tmp_path / "in" / "home")
    assert len(kept) == len(records)
    assert not taken.whole
    assert not [p for p in tmp_path.rglob("*evil*")]
    assert all(len(p) < 500 for p in taken.problems)


async def test_a_member_that_is_there_twice_counts_once(made: Path, records: list[Sealed], tmp_path: Path) -> None:
    path = tmp_path / "x.gome"
    path.write_bytes(made.read_bytes())
    with pytest.warns(UserWarning, match="Duplicate"), zipfile.ZipFile(path, "a") as file:
        file.writestr(RECORDS, b"evil\n")
    taken, kept = await imported(path, tmp_path / "home")
    assert kept == [r.stored for r in records]
    assert [p for p in taken.problems if "twice" in p]


async def test_a_compressed_archive_is_refused_so_that_nothing_can_grow(made: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(made) as old, zipfile.ZipFile(tmp_path / "x.gome", "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            new.writestr(name, old.read(name))
        new.writestr("artifacts/sha256-" + "0" * 64, b"\0" * 100_000_000)
    with pytest.raises(UsageError, match="zip -0"):
        await imported(tmp_path / "x.gome", tmp_path / "home")


async def test_a_wrong_size_is_set_right_by_where_the_next_member_begins(
    made: Path, records: list[Sealed], tmp_path: Path
) -> None:
    stored = bytearray(made.read_bytes())
    at = stored.index(RECORDS.encode()) - 30
    for number, size in enumerate([0xFFFFFFF0, 0x7FFFFFFF, len(stored) * 2, 0]):
        struct.pack_into("<II", stored, at + 18, size, size)
        path = tmp_path / f"{number}.gome"
        path.write_bytes(stored)
        taken, kept = await imported(path, tmp_path / f"home{number}")
        assert len(kept) == len(records)
        assert not taken.whole


@pytest.mark.parametrize("data", [b"", b"PK", b"hello", b"\x1f\x8b" + b"x" * 100, b"PK\x03\x04" * 5_000])
async def test_what_is_no_archive_is_refused_in_a_sentence(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "x.gome"
    path.write_bytes(data)
    with pytest.raises(UsageError, match="no archive"):
        Archive(path)
    with pytest.raises(UsageError, match="cannot read"):
        Archive(tmp_path / "none.gome")


async def test_a_newer_format_is_refused_and_says_so(made: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(made) as file:
        manifest = json.loads(file.read("manifest.json"))
    manifest["format"] = 99
    path = rewrite(made, tmp_path / "x.gome", {"manifest.json": json.dumps(manifest).encode()})
    with pytest.raises(UsageError, match="install a newer gome"):
        Archive(path)


async def test_random_rubbish_in_the_middle_never_gives_anything_but_a_sentence(made: Path, tmp_path: Path) -> None:
    stored = made.read_bytes()
    chance = random.Random(11)
    for number in range(12):
        bad = bytearray(stored)
        for _ in range(chance.randrange(1, 12)):
            place = chance.randrange(len(bad))
            bad[place : place + chance.randrange(60)] = chance.randbytes(chance.randrange(60))
        path = tmp_path / f"{number}.gome"
        path.write_bytes(bad)
        try:
            await imported(path, tmp_path / f"home{number}")
            async with archived(path, RUN) as (archive, run):
                await folded(archive, run)
        except GomeError as error:
            assert str(error)
