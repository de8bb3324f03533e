"""`gome export`, `gome import`, and verbs that read an archive: on a real embedded server, and on another home."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kernel.archives import RUN, rewrite
from tests.kernel.verbs import Gome, Said, caller, served


@pytest.fixture(scope="module")
def homes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Path]]:
    """A home with a finished run and an open one, and an empty home; servers that stay up between commands."""
    folder = tmp_path_factory.mktemp("homes")
    with served(folder / "site", folder / "there", folder / "here", done=RUN, unfinished="toy-open"):
        yield folder / "there", folder / "here"


@pytest.fixture
def gome(
    homes: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Gome:
    """Calls a verb in this process, in an empty folder; `at` is the home that it works on."""
    monkeypatch.chdir(tmp_path)

    here = caller(capsys)

    def call(*arguments: str, at: Path = homes[0]) -> Said:
        monkeypatch.setenv("GOME_HOME", str(at))
        return here(*arguments)

    return call


def test_an_archive_shows_what_the_run_shows_where_there_is_no_home_at_all(
    gome: Gome, homes: tuple[Path, Path], tmp_path: Path
) -> None:
    assert gome("export", RUN, "x.gome", "--with-grades").code == 0
    nowhere = tmp_path / "nowhere"
    for verb in (
        ["show", "RUN", "--json"],
        ["show", "RUN", "--attempt", "a2", "--json"],
        ["show", "RUN", "--calls"],
        ["trajectory", "RUN", "--format", "csv"],
        ["verify", "RUN", "--json"],
        ["verify", "RUN", "--substitute", "--json"],
        ["tail", "RUN", "--json"],
    ):
        at_home = gome(*[RUN if word == "RUN" else word for word in verb])
        archived = gome(*["x.gome" if word == "RUN" else word for word in verb], at=nowhere)
        assert (at_home.code, archived.code) == (0, 0), (verb, at_home.err, archived.err)
        assert archived.out.replace("x.gome", RUN) == at_home.out, verb
    assert not nowhere.exists()


def test_a_run_that_is_imported_on_another_machine_is_the_same_run(gome: Gome, homes: tuple[Path, Path]) -> None:
    there, here = homes
    said = gome("export", RUN, "toy-open", "both.gome", "--with-grades", "--json")
    assert said.code == 0 and [r["run"] for r in said.lines[0]["runs"]] == [RUN, "toy-open"]
    taken = gome("import", "both.gome", at=here)
    assert taken.code == 0, taken.err
    assert "toy-done: imported" in taken.out and "hidden grades" in taken.out
    for verb in (
        ["show", RUN, "--json"],
        ["trajectory", RUN, "--format", "csv"],
        ["verify", RUN, "--json"],
        ["verify", RUN, "--substitute", "--json"],
        ["show", "toy-open"],
    ):
        assert gome(*verb, at=here).out == gome(*verb, at=there).out, verb
    again = gome("import", "both.gome", "--json", at=here)
    assert again.code == 0
    assert [(r["outcome"], r["records"]) for r in again.lines[0]["runs"]] == [("there", 0), ("there", 0)]
    gome("export", RUN, "toy-open", "back.gome", "--with-grades", at=here)
    assert Path("back.gome").read_bytes() == Path("both.gome").read_bytes()


def test_a_signed_export_is_taken_by_who_trusts_the_key(gome: Gome, homes: tuple[Path, Path]) -> None:
    made = gome("export", "--new-key", "key", "--json")
    key = made.lines[0]["public"]
    assert gome("export", RUN, "x.gome", "--sign", "key").code == 0
    taken = gome("import", "x.gome", "--trust", "key.pub", at=homes[1])
    assert taken.code == 0 and f"signed by {key}" in taken.out
    assert gome("export", RUN, "plain.gome").code == 0
    refused = gome("import", "plain.gome", "--trust", key, at=homes[1])
    assert refused.code == 1 and "it is not signed" in refused.err


def test_damage_is_named_and_ends_with_one(gome: Gome, homes: tuple[Path, Path], tmp_path: Path) -> None:
    gome("export", RUN, "x.gome")
    rewrite(tmp_path / "x.gome", tmp_path / "bad.gome", {f"runs/{RUN}/commits.jsonl": b"{}\n"})
    said = gome("import", "bad.gome", at=tmp_path / "empty")
    assert said.code == 1
    assert f"bad.gome: run {RUN}: runs/{RUN}/commits.jsonl, line 1" in said.err
    assert "Traceback" not in said.err
    for verb in ("show", "verify", "trajectory", "tail"):
        said = gome(verb, "bad.gome")
        assert said.code == 4 and len(said.err.splitlines()) == 1, verb


def test_a_secret_of_the_environment_is_never_exported(gome: Gome, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_API_KEY", "import this")
    said = gome("export", RUN, "x.gome")
    assert said.code == 2
    assert f"run {RUN}, event" in said.err and "import this" not in said.err
    assert not Path("x.gome").exists()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["export"], "gome export RUN… FILE.gome"),
        (["export", RUN], "gome export RUN… FILE.gome"),
        (["export", RUN, "file.zip"], "gome export RUN… FILE.gome"),
        (["export", "toy-dome", "x.gome"], "did you mean toy-done"),
        (["export", RUN, "nowhere/x.gome"], "cannot write nowhere/x.gome"),
        (["export", RUN, "--new-key", "k"], "leave out the runs"),
        (["export", RUN, "x.gome", "--sign", "none"], "cannot read the key none"),
        (["import"], "Missing argument"),
        (["import", "none.gome"], "there is no file or folder none.gome"),
        (["show", "none.gome"], "cannot read the archive none.gome"),
        (["show", "none.gome", "--nats", "nats://x"], "leave out --nats"),
    ],
)
def test_wrong_usage_is_a_sentence_and_ends_with_two(gome: Gome, arguments: list[str], sentence: str) -> None:
    said = gome(*arguments)
    assert said.code == 2
    assert sentence in said.err
    assert len(said.err.splitlines()) == 1


def test_an_archive_lists_its_runs_and_is_compared_with_a_run_of_the_log(gome: Gome, tmp_path: Path) -> None:
    assert gome("export", RUN, "toy-open", "both.gome").code == 0
    nowhere = tmp_path / "nowhere"
    listed = gome("runs", "both.gome", "--json", at=nowhere)
    assert [(r["run"], r["state"]) for r in listed.lines] == [
        (r["run"], r["state"]) for r in gome("runs", "--json").lines if r["run"] in (RUN, "toy-open")
    ]
    assert "is no archive" in gome("runs", RUN).err
    inside = gome("compare", f"both.gome:{RUN}", "both.gome:toy-open", at=nowhere)
    assert inside.code == 0 and "then part" in inside.out, inside.err
    assert not nowhere.exists()
    mixed = gome("compare", RUN, f"both.gome:{RUN}")
    assert mixed.code == 0 and f"both.gome:{RUN} took the same course as {RUN}" in mixed.out, mixed.err
    assert "there is no run 'nobody'" in gome("compare", RUN, "both.gome:nobody").err
