"""Signed archives: what was signed is what is taken, and who signed is said."""

from __future__ import annotations

import base64
import shutil
import stat
import subprocess
import sys
from functools import partial
from pathlib import Path

import msgspec
import pytest

from gome.kernel.archive import Archive
from gome.kernel.archive_export import Exporter
from gome.kernel.archive_sign import Signature, new_key, read_signature, sign, trusted
from gome.kernel.errors import GomeError, UsageError
from tests.kernel import recorded
from tests.kernel.archives import RUN, everything, home, rewrite, take

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("toys_installed")]


@pytest.fixture(scope="module")
async def made(tmp_path_factory: pytest.TempPathFactory, toys_installed: None) -> Path:
    """A folder with a key (`key`, `key.pub`), its text in `key.txt`, and a signed archive `signed.gome`."""
    folder = tmp_path_factory.mktemp("signed")
    (folder / "key.txt").write_text(new_key(folder / "key"))
    async with home(folder / "home") as connection:
        await recorded.record(connection, RUN, steps=3)
        signing = partial(sign, keyfile=folder / "key")
        await Exporter(connection, set()).write([RUN], folder / "signed.gome", signing)
        await Exporter(connection, set()).write([RUN], folder / "again.gome", signing)
        await Exporter(connection, set()).write([RUN], folder / "plain.gome")
    return folder


async def test_a_signed_archive_says_who_signed_it_and_has_the_same_bytes_again(made: Path, tmp_path: Path) -> None:
    assert (made / "signed.gome").read_bytes() == (made / "again.gome").read_bytes()
    key = (made / "key.txt").read_text()
    for number, trust in enumerate(("", key, trusted(key), trusted(str(made / "key.pub")))):
        async with home(tmp_path / str(number)) as there:
            taken = await take(there, made / "signed.gome", trust)
            assert (taken.whole, taken.signer, taken.checked) == (True, key, True)


@pytest.mark.skipif(shutil.which("openssl") is None, reason="there is no openssl here")
async def test_openssl_checks_the_signature_too(made: Path, tmp_path: Path) -> None:
    with Archive(made / "signed.gome") as archive:
        (tmp_path / "manifest").write_bytes(archive.bytes_of("manifest.json", 1 << 20))
        found = read_signature(archive.bytes_of("signature.json", 1 << 20))
    assert isinstance(found, Signature)
    (tmp_path / "signature").write_bytes(base64.b64decode(found.signature))
    command = ["openssl", "pkeyutl", "-verify", "-pubin", "-inkey", str(made / "key.pub"), "-rawin"]
    files = ["-in", str(tmp_path / "manifest"), "-sigfile", str(tmp_path / "signature")]
    done = subprocess.run([*command, *files], capture_output=True, text=True)
    assert "Signature Verified Successfully" in done.stdout, done.stderr


async def test_what_was_changed_after_signing_is_not_taken_by_who_trusts_a_key(made: Path, tmp_path: Path) -> None:
    key = (made / "key.txt").read_text()
    changed = rewrite(made / "signed.gome", tmp_path / "x.gome", {f"runs/{RUN}/commits.jsonl": b"evil\n"})
    async with home(tmp_path / "home") as there:
        with pytest.raises(GomeError, match="not one of its manifest"):
            await take(there, changed, key)
        taken = await take(there, changed)
        assert "its signature is not one of its manifest" in taken.problems and taken.signer == ""
        # The manifest is the signed one, and the records are others.
        kept = rewrite(made / "signed.gome", tmp_path / "y.gome", {f"runs/{RUN}/commits.jsonl": b"evil\n"}, named=False)
        taken = await take(there, kept, key)
        assert not taken.whole and "not what was signed" in taken.runs[0].damage
        assert await everything(there) == []


async def test_an_archive_that_somebody_else_or_nobody_signed_is_not_taken(made: Path, tmp_path: Path) -> None:
    other = new_key(tmp_path / "other")
    async with home(tmp_path / "home") as there:
        with pytest.raises(GomeError, match=r"is signed by .*, not by"):
            await take(there, made / "signed.gome", other)
        with pytest.raises(GomeError, match="it is not signed"):
            await take(there, made / "plain.gome", other)
        assert await there.log.runs() == []


@pytest.mark.parametrize(
    "member",
    [
        b"",
        b"[]",
        b'{"algorithm":"ed25519","key":"AA==","signature":"AA=="}',
        b'{"algorithm":"none","key":"","signature":""}',
        b'{"algorithm":"ed25519","key":"\xc3\xa4","signature":"?"}',
        b"x" * 100_000,
        msgspec.json.encode(Signature("ed25519", "QUJD" * 10 + "QUE=", "A" * 86 + "==")),
    ],
)
async def test_a_signature_that_is_none_is_named(made: Path, tmp_path: Path, member: bytes) -> None:
    path = rewrite(made / "signed.gome", tmp_path / "x.gome", {"signature.json": member}, named=False)
    async with home(tmp_path / "home") as there:
        taken = await take(there, path)
        assert [p for p in taken.problems if "signature" in p]
        assert taken.runs[0].outcome == "imported"
        with pytest.raises(GomeError, match="nothing was imported"):
            await take(there, path, (made / "key.txt").read_text())


def test_a_key_is_its_owners_alone_and_never_overwritten(tmp_path: Path) -> None:
    new_key(tmp_path / "key")
    assert stat.S_IMODE((tmp_path / "key").stat().st_mode) == 0o600
    before = (tmp_path / "key").read_bytes()
    with pytest.raises(UsageError, match="is there already"):
        new_key(tmp_path / "key")
    assert (tmp_path / "key").read_bytes() == before


def test_what_is_no_key_is_refused_in_a_sentence(made: Path, tmp_path: Path) -> None:
    for data in (b"", b"hello", (made / "key.pub").read_bytes()):
        (tmp_path / "key").write_bytes(data)
        with pytest.raises(UsageError, match="no private key"):
            sign(b"", tmp_path / "key")
    for text in ("", "hello", "A" * 44, str(made / "key")):
        with pytest.raises(UsageError):
            trusted(text)
    with pytest.raises(UsageError, match="cannot read the key"):
        sign(b"", tmp_path / "none")


def test_without_the_library_signing_says_how_to_get_it(tmp_path: Path) -> None:
    program = (
        "import sys; sys.modules['cryptography'] = None\n"
        "from gome.kernel import archive_sign as a\n"
        "from pathlib import Path\n"
        "assert not a.available()\n"
        f"a.new_key(Path({str(tmp_path / 'key')!r}))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert 'pip install "gome[sign]"' in done.stderr
    assert not (tmp_path / "key").exists()
