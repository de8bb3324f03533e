"""Runs in one portable file: the same bytes for the same runs, and the same runs elsewhere."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import shutil
import subprocess
import zipfile
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
from msgspec import structs

from gome.events import CODEC, Head, NoteAdded, digest_of, event_id, move_out
from gome.kernel.appender import Scribe
from gome.kernel.archive import Archive, place_of
from gome.kernel.archive_export import Exporter
from gome.kernel.archive_log import archived
from gome.kernel.archive_secrets import Scanner
from gome.kernel.cli.opening import folded
from gome.kernel.connect import Connection, grades
from gome.kernel.errors import UsageError
from gome.kernel.replay import _DIGEST
from tests.kernel import archives, recorded
from tests.kernel.archives import RUN, everything, home, rewrite, take, trajectory

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("toys_installed")]


@pytest.fixture(scope="module")
async def made(tmp_path_factory: pytest.TempPathFactory, toys_installed: None) -> Path:
    """The folder with the archives."""
    folder = tmp_path_factory.mktemp("archives")
    await archives.make(folder)
    return folder


@pytest.fixture
async def here(tmp_path: Path) -> AsyncIterator[Connection]:
    async with home(tmp_path / "here") as connection:
        yield connection


async def note(connection: Connection, run: str, text: str, more: bytes = b"") -> Head:
    """Append a note; `more` are members of its payload that today's type does not know."""
    head = await connection.log.head(run)
    said = CODEC.saying(event_id(f"n{head.seq}", "tester", 0), NoteAdded(text=text, author="t"), cause="x")
    said = structs.replace(said, payload=said.payload[:-1] + more + b"}")
    scribe = Scribe(run, CODEC, connection.artifacts, "test", connection.tenant)
    return (await connection.log.append(scribe.draft("control", "client", f"n{head.seq}", [said]), head)).head


async def name_file(connection: Connection, run: str, data: bytes) -> str:
    """Store a file and append a record that names it."""
    digest = connection.artifacts.put(data)
    await note(connection, run, "a file", f',"file":{{"digest":"{digest}","size":{len(data)}}}'.encode())
    return digest


async def test_the_same_run_comes_out_elsewhere(made: Path, here: Connection) -> None:
    taken = await take(here, made / "done.gome")
    assert taken.whole
    assert [(r.run, r.outcome) for r in taken.runs] == [(RUN, "imported")]
    async with archived(made / "done.gome") as (archive, run):
        assert run == RUN
        assert [r.stored for r in await everything(here)] == [r.stored for r in await everything(archive)]
        assert await trajectory(here) == await trajectory(archive)
        assert await grades(here, RUN) == await grades(archive, RUN)
        assert len(await grades(here, RUN)) == 6
        assert here.artifacts.get("sha256-" + hashlib.sha256(b"file").hexdigest()) == b"file"


async def test_importing_again_changes_nothing(made: Path, here: Connection) -> None:
    first = await take(here, made / "done.gome")
    before = await everything(here)
    again = await take(here, made / "done.gome")
    assert (again.runs[0].outcome, again.runs[0].records, again.stored, again.known) == ("there", 0, 0, first.stored)
    assert await everything(here) == before


async def test_what_is_imported_exports_to_the_same_bytes(made: Path, here: Connection, tmp_path: Path) -> None:
    await take(here, made / "done.gome")
    await Exporter(here, set(), grades=True).write([RUN], tmp_path / "again.gome")
    assert (tmp_path / "again.gome").read_bytes() == (made / "done.gome").read_bytes()


async def test_a_prefix_that_is_there_is_continued(made: Path, here: Connection) -> None:
    async with archived(made / "done.gome") as (archive, _):
        records = await everything(archive)
    head = Head(RUN)
    for record in records[:5]:
        head = (await here.log.adopt(record, head)).head
    taken = await take(here, made / "done.gome")
    assert (taken.runs[0].outcome, taken.runs[0].records) == ("continued", len(records) - 5)
    assert [r.stored for r in await everything(here)] == [r.stored for r in records]


async def test_a_run_that_has_gone_on_at_home_is_there_already(made: Path, here: Connection) -> None:
    await take(here, made / "plain.gome")
    await note(here, RUN, "later")
    taken = await take(here, made / "plain.gome")
    assert (taken.whole, taken.runs[0].outcome) == (True, "there")


async def test_another_run_of_the_same_name_is_refused_and_the_rest_is_taken(made: Path, here: Connection) -> None:
    await recorded.record(here, RUN, steps=3)
    before = await everything(here)
    taken = await take(here, made / "both.gome")
    found = {r.run: r for r in taken.runs}
    assert found[RUN].outcome == "refused" and "another run of this name" in found[RUN].damage
    assert found["toy-open"].outcome == "imported"
    assert not taken.whole
    assert await everything(here) == before


async def test_any_zip_tool_reads_it(made: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(made / "done.gome") as file:
        assert file.testzip() is None
        names = file.namelist()
        manifest = json.loads(file.read("manifest.json"))
        lines = file.read(f"runs/{RUN}/commits.jsonl").splitlines()
    assert names[0] == "manifest.json"
    assert names[1:] == [m["name"] for m in manifest["members"]]
    assert manifest["runs"][0]["chain"]["hash"] == json.loads(lines[-1])["hash"]
    if unzip := shutil.which("unzip"):
        subprocess.run([unzip, "-qq", str(made / "done.gome"), "-d", str(tmp_path)], check=True)
        for member in manifest["members"]:
            data = (tmp_path / member["name"]).read_bytes()
            assert (len(data), hashlib.sha256(data).hexdigest()) == (member["size"], member["sha256"])


async def test_several_runs_are_told_apart_by_name(made: Path) -> None:
    with pytest.raises(UsageError, match=r"holds 2 runs .*both\.gome:toy-done"):
        async with archived(made / "both.gome"):
            pass
    async with archived(made / "both.gome", "toy-open") as (archive, run):
        assert (await folded(archive, run)).finished is None
        assert await archive.log.runs() == ["toy-done", "toy-open"]
        assert (await archive.log.sizes())["toy-open"] == len(await everything(archive, "toy-open"))


async def test_an_archive_reads_on_behind_a_known_head_and_cannot_be_written(made: Path) -> None:
    async with archived(made / "plain.gome") as (archive, run):
        records = await everything(archive)
        assert [r async for r in archive.log.read(run, records[3].head)] == records[4:]
        assert await archive.log.head(run) == records[-1].head
        with pytest.raises(UsageError, match="gome import"):
            await archive.log.adopt(records[0], Head(run))


async def test_data_are_left_out_when_asked_and_programs_are_not(here: Connection, tmp_path: Path) -> None:
    await recorded.record(here, RUN, steps=2)
    table = await name_file(here, RUN, b"a,b\n1,2\n")
    text = here.artifacts.put(b"x = 1\n" * 10_000)
    await note(here, RUN, "long", f',"program":{{"$ref":"{text}","$size":60000}}'.encode())
    done = await Exporter(here, set(), data=False).write([RUN], tmp_path / "slim.gome")
    whole = await Exporter(here, set()).write([RUN], tmp_path / "whole.gome")
    assert (whole.left_out, whole.artifacts - done.artifacts) == (0, done.left_out)
    with Archive(tmp_path / "slim.gome") as archive:
        assert archive.manifest is not None and len(archive.manifest.left_out) == done.left_out
        assert table in archive.manifest.left_out
        assert f"artifacts/{text}" in archive.entries and f"artifacts/{table}" not in archive.entries
        assert not archive.problems


async def test_grades_are_exported_only_when_asked(made: Path, here: Connection) -> None:
    await take(here, made / "plain.gome")
    assert await grades(here, RUN) == {}


async def test_an_artifact_that_the_store_lacks_is_named(here: Connection, tmp_path: Path) -> None:
    await recorded.record(here, RUN, steps=2)
    path = here.artifacts.path("sha256-" + hashlib.sha256(b"file").hexdigest())
    path.unlink()
    done = await Exporter(here, set()).write([RUN], tmp_path / "x.gome")
    assert done.lacking == ("sha256-" + hashlib.sha256(b"file").hexdigest(),)
    async with home(tmp_path / "there") as there:
        taken = await take(there, tmp_path / "x.gome")
    assert not taken.whole and "lacking when it was exported" in taken.problems[0]
    assert taken.runs[0].outcome == "imported"


async def test_a_secret_in_a_record_ends_the_export_and_is_not_repeated(here: Connection, tmp_path: Path) -> None:
    await recorded.record(here, RUN, steps=2)
    head = await note(here, RUN, 'the key is hush-"very"-hush')
    with pytest.raises(UsageError) as caught:
        await Exporter(here, {'hush-"very"-hush'}).write([RUN], tmp_path / "x.gome")
    assert f"run {RUN}, event {head.seq} (NoteAdded)" in str(caught.value)
    assert "hush" not in str(caught.value)
    assert list(tmp_path.glob("*.gome*")) == [] and list(tmp_path.glob(".gome-*")) == []


async def test_a_secret_in_a_file_ends_the_export_too(here: Connection, tmp_path: Path) -> None:
    await recorded.record(here, RUN, steps=2)
    await name_file(here, RUN, b"a,b\n" * 2_000_000 + b"hush-hush-hush")
    with pytest.raises(UsageError, match=r"\(NoteAdded\), artifact sha256-\w+…: a secret") as caught:
        await Exporter(here, {"hush-hush-hush"}).write([RUN], tmp_path / "x.gome")
    assert "hush" not in str(caught.value)
    # Left out with the other data, it does not leave the machine.
    await Exporter(here, {"hush-hush-hush"}, data=False).write([RUN], tmp_path / "x.gome")


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("OPENAI: sk-" + "aB3" * 10, "sk-"),
        ("sk-proj-" + "aB3_" * 12, "sk-"),
        ("AKIA" + "ABCD2345" * 2, "AWS"),
        ("ghp_" + "aB3x" * 9, "GitHub"),
        ("hf_" + "aB3x" * 9, "Hugging Face"),
        ("-----BEGIN RSA PRIVATE KEY-----", "private key"),
        ("-----BEGIN PRIVATE KEY-----", "private key"),
    ],
)
def test_what_looks_like_a_key_is_found_whoever_knows_it(text: str, kind: str) -> None:
    assert kind in Scanner(()).kind(text.encode())
    assert kind in Scanner(()).kind_in(iter([b"x" * 100 + b" " + text[:9].encode(), text[9:].encode()]))


@pytest.mark.parametrize(
    "text",
    [
        "sk-learn-pipeline-with-many-features-and-words",
        "task-Abcdefgh1234567890Abcdefgh",
        "sha256-" + "ab12" * 16,
        "AKIA is a prefix",
        "risk-Adjusted2Score_of_the_whole_fold",
    ],
)
def test_what_only_resembles_a_key_is_not(text: str) -> None:
    assert Scanner(("short", "")).kind(text.encode() + b" short ") == ""


async def test_a_forked_runs_prefix_comes_along_as_far_as_it_is_shared(here: Connection, tmp_path: Path) -> None:
    """The log of forks yields the prefix first, under the name of the run that holds it."""
    await recorded.record(here, "parent", steps=2)
    await recorded.record(here, "child", steps=3)
    log = here.log

    class Whole:
        name = "whole"

        async def read(self, run: str, after: Head | None = None) -> AsyncIterator[object]:
            if run == "child":
                for record in [r async for r in log.read("parent")][:4]:
                    yield record
            async for record in log.read(run):
                yield record

    whole = dataclasses.replace(here, log=Whole())
    done = await Exporter(whole, set()).write(["child"], tmp_path / "child.gome")
    assert [(r.run, r.asked, r.chain.records) for r in done.runs][1] == ("parent", False, 4)
    both = await Exporter(whole, set()).write(["child", "parent"], tmp_path / "both.gome")
    assert [(r.run, r.asked) for r in both.runs] == [("child", True), ("parent", True)]
    assert both.runs[1].chain.hash == (await log.head("parent")).hash
    async with archived(tmp_path / "child.gome") as (archive, run):
        assert run == "child"
        assert len(await everything(archive, "parent")) == 4


def test_a_run_is_never_taken_for_an_archive() -> None:
    assert place_of("ames-1123-1412-3fa9") is None
    assert place_of("a.gome") == (Path("a.gome"), "")
    assert place_of("x/y.z/a.gome:toy-1") == (Path("x/y.z/a.gome"), "toy-1")


async def test_a_forgers_chain_under_an_honest_name_is_not_the_manifests(made: Path, tmp_path: Path) -> None:
    async with home(tmp_path / "other") as other:
        await recorded.record(other, RUN, steps=3)
        lines = b"".join(r.stored + b"\n" for r in await everything(other))
    path = rewrite(made / "plain.gome", tmp_path / "forged.gome", {f"runs/{RUN}/commits.jsonl": lines})
    async with home(tmp_path / "here") as here:
        taken = await take(here, path)
        assert not taken.whole
        assert "manifest says" in taken.runs[0].damage


async def test_a_text_that_is_moved_out_the_second_time_is_taken_along(here: Connection, tmp_path: Path) -> None:
    await recorded.record(here, RUN, steps=2)
    content = "x = 1\n" * 10_000
    given = msgspec.json.encode({"program": {"$text": content, "$size": len(content)}})  # as one that was put back is
    moved = move_out(given, here.artifacts.put)
    assert moved.index(b"$size") < moved.index(b"$ref")
    await note(here, RUN, "long", b"," + moved[1:-1])
    await Exporter(here, set()).write([RUN], tmp_path / "whole.gome")
    digest = digest_of(content.encode())
    with Archive(tmp_path / "whole.gome") as archive:
        assert f"artifacts/{digest}" in archive.entries
    assert _DIGEST.findall(moved) == [digest.encode()], "verify looks for it in the store"
