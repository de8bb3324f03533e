"""The artifact store: content-addressed, durable, idempotent; damage and absence are named errors."""

from __future__ import annotations

import hashlib
import os
import stat
import subprocess
import sys
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gome.events.artifact import digest_of
from gome.kernel import artifacts
from gome.kernel.artifacts import ArtifactDamaged, ArtifactStore, open_store
from gome.kernel.errors import ArtifactMissing, GomeError, UsageError

Make = Callable[[], ArtifactStore]


@pytest.fixture(params=["folder", "memory://"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ArtifactStore:
    if request.param == "folder":
        return open_store(tmp_path / "store")
    pytest.importorskip("fsspec")
    return open_store(f"memory://{uuid.uuid4().hex}/artifacts", cache=tmp_path / "cache")


def test_bytes_and_files_come_back_by_their_digest(store: ArtifactStore, tmp_path: Path) -> None:
    digest = store.put(b"some bytes")
    assert digest == "sha256-" + hashlib.sha256(b"some bytes").hexdigest()
    (tmp_path / "big").write_bytes(os.urandom(3_000_000))
    big = store.put_file(tmp_path / "big")
    assert store.get(digest) == b"some bytes"
    assert store.get(big) == store.path(big).read_bytes() == (tmp_path / "big").read_bytes()
    assert store.has(big) and not store.has(digest_of(b"never stored"))
    assert store.put(b"") == digest_of(b"") and store.get(digest_of(b"")) == b""


def test_what_is_not_there_is_an_error_that_names_the_digest_and_the_place(store: ArtifactStore) -> None:
    digest = digest_of(b"never stored")
    for ask in (store.get, store.path, store.text):
        with pytest.raises(ArtifactMissing) as caught:
            ask(digest)
        assert digest in str(caught.value) and store.name in str(caught.value)


@pytest.mark.parametrize("digest", ["", "sha256-", "sha256-" + "g" * 64, "../../etc/passwd", "sha256-" + "A" * 64])
def test_what_is_no_digest_is_never_looked_up(store: ArtifactStore, digest: str) -> None:
    assert not store.has(digest)
    with pytest.raises(ArtifactMissing, match="is not a digest"):
        store.get(digest)


def test_storing_again_changes_nothing(tmp_path: Path) -> None:
    store = ArtifactStore(tmp_path)
    digest = store.put(b"x")
    before = store.path(digest).stat()
    (tmp_path / "file").write_bytes(b"x")
    assert store.put(b"x") == store.put_file(tmp_path / "file") == ArtifactStore(tmp_path).put(b"x") == digest
    assert store.path(digest).stat() == before
    assert stat.S_IMODE(before.st_mode) == 0o444
    folder = store.path(digest).parent
    assert [p.name for p in folder.iterdir()] == [digest[9:]] and folder.name == digest[7:9]


def test_a_damaged_artifact_is_named_and_healed_by_storing_it_again(tmp_path: Path) -> None:
    store = ArtifactStore(tmp_path)
    digest = store.put(b"good text")
    path = store.path(digest)
    heals: list[Callable[[], str]] = [lambda: store.put(b"good text"), lambda: store.put_file(tmp_path / "source")]
    for heal in heals:
        path.chmod(0o644)
        path.write_bytes(b"evil text")
        with pytest.raises(ArtifactDamaged, match=digest):
            store.get(digest)
        with pytest.raises(ArtifactDamaged, match=str(path)):
            ArtifactStore(tmp_path).text(digest)
        (tmp_path / "source").write_bytes(b"good text")
        assert heal() == digest and store.get(digest) == b"good text"


def test_a_killed_process_leaves_no_half_artifact(tmp_path: Path) -> None:
    code = (
        "import os, sys; from pathlib import Path; from gome.kernel.artifacts import ArtifactStore\n"
        "store = ArtifactStore(Path(sys.argv[1]))\n"
        "while True: print(store.put(os.urandom(200_000)), flush=True)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        promised = [process.stdout.readline().strip() for _ in range(10)]
        process.kill()
        promised += [line for line in process.stdout.read().splitlines() if len(line) == 71]
    store = ArtifactStore(tmp_path)
    for digest in promised:
        assert len(store.get(digest)) == 200_000
    for path in tmp_path.glob("??/*"):
        if not path.name.startswith("."):
            store.get(f"sha256-{path.parent.name}{path.name}")


def test_a_file_that_changes_while_it_is_stored_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, source = ArtifactStore(tmp_path / "store"), tmp_path / "source"
    source.write_bytes(b"first")
    # The change falls between the two readings: making the folder comes there.
    make = ArtifactStore._folder

    def change(self: ArtifactStore, folder: Path) -> None:
        make(self, folder)
        source.write_bytes(b"other")

    monkeypatch.setattr(ArtifactStore, "_folder", change)
    with pytest.raises(GomeError, match="changed while it was being stored"):
        store.put_file(source)
    assert [p for p in (tmp_path / "store").rglob("*") if p.is_file()] == []


def test_a_linked_file_is_read_only_and_replaces_what_was_there(store: ArtifactStore, tmp_path: Path) -> None:
    digest = store.put(b"linked")
    target = tmp_path / "target.csv"
    target.write_bytes(b"old")
    for _ in range(2):
        store.link_into(digest, target)
        assert target.read_bytes() == b"linked"
        assert stat.S_IMODE(target.stat().st_mode) == 0o444
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".")] == []
    with pytest.raises(ArtifactMissing):
        store.link_into(digest_of(b"nothing"), tmp_path / "other")


def test_where_links_are_impossible_the_file_is_copied(tmp_path: Path) -> None:
    elsewhere = Path("/dev/shm")
    if not elsewhere.is_dir() or elsewhere.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("no second file system here")
    store = ArtifactStore(tmp_path)
    digest = store.put(b"copied")
    target = elsewhere / f"gome-test-{uuid.uuid4().hex}"
    try:
        store.link_into(digest, target)
        assert target.read_bytes() == b"copied" and stat.S_IMODE(target.stat().st_mode) == 0o444
    finally:
        target.unlink(missing_ok=True)


def test_texts_are_resolved_and_kept_up_to_a_limit(store: ArtifactStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(artifacts, "TEXTS", 100)
    digests = [store.put((f"ä{i}" * 10).encode()) for i in range(10)]
    for _ in range(2):
        assert [store.text(d) for d in digests] == [f"ä{i}" * 10 for i in range(10)]
    assert sum(map(len, store._texts.values())) == store._held <= 100
    with pytest.raises(ArtifactDamaged, match="is not text"):
        store.text(store.put(b"\xff\xfe"))
    long = store.put(b"x" * 1000)
    assert store.text(long) == "x" * 1000 and long not in store._texts


def test_the_vaults_folder_is_its_owners_alone(tmp_path: Path) -> None:
    vault = ArtifactStore(tmp_path / "a" / "vault", private=True)
    digest = vault.put(b"answers")
    assert stat.S_IMODE((tmp_path / "a" / "vault").stat().st_mode) == 0o700
    assert stat.S_IMODE(vault.path(digest).stat().st_mode) == 0o400
    assert vault.get(digest) == b"answers"
    (tmp_path / "open").mkdir(mode=0o755)
    ArtifactStore(tmp_path / "open", private=True).put(b"answers")
    assert stat.S_IMODE((tmp_path / "open").stat().st_mode) == 0o700


def test_a_folder_that_cannot_be_written_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(GomeError, match=r"cannot store artifact sha256-\w+ in .*file/store: Not a directory"):
        ArtifactStore(tmp_path / "file" / "store").put(b"x")


def test_stores_open_by_folder_or_url(tmp_path: Path) -> None:
    digest = open_store(str(tmp_path / "a b")).put(b"x")
    assert open_store(f"file://{str(tmp_path).replace(' ', '%20')}/a%20b").get(digest) == b"x"
    pytest.importorskip("fsspec")
    with pytest.raises(UsageError, match="need a local folder as cache"):
        open_store("memory://x")
    with pytest.raises(UsageError, match=r"cannot be kept at nonsense://\*\*\*@host"):
        open_store("nonsense://user:password@host", cache=tmp_path)


def test_without_fsspec_a_url_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "fsspec.core", None)
    with pytest.raises(UsageError, match=r"s3://bucket need fsspec: install gome\[s3\]"):
        open_store("s3://bucket", cache=tmp_path)


def test_another_machine_reads_what_one_stored_and_notices_damage(tmp_path: Path) -> None:
    fsspec = pytest.importorskip("fsspec")
    url = f"memory://{uuid.uuid4().hex}"
    one, other = (open_store(url, cache=tmp_path / name) for name in ("one", "other"))
    digest = one.put(b"shared")
    assert other.has(digest) and other.get(digest) == b"shared"
    assert ArtifactStore(tmp_path / "other").get(digest) == b"shared"
    remote = fsspec.filesystem("memory")
    [there] = remote.find(url.removeprefix("memory:/"))
    remote.pipe_file(there, b"broken")
    with pytest.raises(ArtifactDamaged, match=digest):
        open_store(url, cache=tmp_path / "third").get(digest)


def test_what_was_stored_before_the_store_became_remote_is_uploaded_when_stored_again(tmp_path: Path) -> None:
    pytest.importorskip("fsspec")
    digest = ArtifactStore(tmp_path / "home").put(b"local once")
    url = f"memory://{uuid.uuid4().hex}"
    assert open_store(url, cache=tmp_path / "home").put(b"local once") == digest
    assert open_store(url, cache=tmp_path / "other").get(digest) == b"local once"


def test_a_damaged_copy_in_the_cache_is_fetched_again(tmp_path: Path) -> None:
    pytest.importorskip("fsspec")
    store = open_store(f"memory://{uuid.uuid4().hex}", cache=tmp_path)
    digest = store.put(b"good")
    store.path(digest).chmod(0o644)
    store.path(digest).write_bytes(b"evil")
    assert store.get(digest) == b"good" == store.path(digest).read_bytes()


@given(contents=st.lists(st.binary(max_size=200), max_size=8))
def test_any_bytes_are_stored_under_their_digest(
    tmp_path_factory: pytest.TempPathFactory, contents: list[bytes]
) -> None:
    store = ArtifactStore(tmp_path_factory.mktemp("store"))
    for data in contents + contents:
        digest = store.put(data)
        assert digest == digest_of(data) and store.get(digest) == data
    files = [p for p in store.root.rglob("*") if p.is_file()]
    assert len(files) == len(set(contents))
