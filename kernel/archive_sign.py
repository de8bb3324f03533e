"""Signing archives: an Ed25519 signature over the manifest, which names every other member's digest.

The keys are ordinary PEM files (PKCS #8, SubjectPublicKeyInfo), as `openssl genpkey -algorithm ed25519` makes them. The
only home of `cryptography`, which is an extra: whoever neither signs nor checks a signature does without.
"""

from __future__ import annotations

import base64
import binascii
import os
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct

from gome.kernel.errors import UsageError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

ALGORITHM = "ed25519"
LIMIT = 64 << 10
"""Largest signature member or key file in bytes."""


class Signature(Struct, frozen=True):
    """The member `signature.json`: who signed (32 bytes of public key) and the signature of the manifest's bytes (64
    bytes), both in base64."""

    algorithm: str
    key: str
    signature: str


def new_key(path: Path) -> str:
    """Write a new private key to a file that only its owner may read, and the public one beside it (`.pub`); returns
    the public key as `--trust` takes it. Raises `UsageError` when the file is there or cannot be written."""
    _library()
    from cryptography.hazmat.primitives import serialization as form
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(form.Encoding.PEM, form.PrivateFormat.PKCS8, form.NoEncryption())
    public = key.public_key().public_bytes(form.Encoding.PEM, form.PublicFormat.SubjectPublicKeyInfo)
    try:
        for place, data, mode in ((path, private, 0o600), (path.with_name(path.name + ".pub"), public, 0o644)):
            with open(os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode), "wb") as file:
                file.write(data)
    except FileExistsError as error:
        raise UsageError(f"{error.filename} is there already; name another file for the key") from error
    except OSError as error:
        raise UsageError(f"cannot write the key {path}: {error.strerror}") from error
    return _text(key)


def sign(manifest: bytes, keyfile: Path) -> bytes:
    """The member `signature.json` for a manifest. Raises `UsageError` for a key file that is none."""
    key = _private(keyfile)
    found = Signature(ALGORITHM, _text(key), base64.b64encode(key.sign(manifest)).decode())
    return msgspec.json.encode(found, order="deterministic") + b"\n"


def read_signature(data: bytes) -> Signature | str:
    """The signature in a member, or what is wrong with it."""
    try:
        found = msgspec.json.decode(data, type=Signature)
        sizes = [len(base64.b64decode(value, validate=True)) for value in (found.key, found.signature)]
    except (msgspec.MsgspecError, RecursionError, binascii.Error, ValueError) as error:
        return f"it cannot be read: {error}"
    if found.algorithm != ALGORITHM or sizes != [32, 64]:
        return f"it is no {ALGORITHM} signature"
    return found


def fits(signature: Signature, manifest: bytes) -> bool:
    """Whether a signature is one of these bytes by the key that it names."""
    _library()
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        key = Ed25519PublicKey.from_public_bytes(base64.b64decode(signature.key))
        key.verify(base64.b64decode(signature.signature), manifest)
    except InvalidSignature:
        return False
    return True


def available() -> bool:
    """Whether signatures can be made and checked here."""
    try:
        _library()
    except UsageError:
        return False
    return True


def trusted(text: str) -> str:
    """A public key as text, from that text or from a `.pub` file. Raises `UsageError` for what is neither."""
    with_file = Path(text)
    if with_file.is_file():
        return _public(with_file)
    try:
        if len(base64.b64decode(text, validate=True)) == 32:
            return text
    except (binascii.Error, ValueError):
        pass
    raise UsageError(f"--trust {text!r} is neither a public key (44 characters of base64) nor a file with one")


def _public(path: Path) -> str:
    _library()
    from cryptography.hazmat.primitives import serialization as form
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        key = form.load_pem_public_key(_read(path))
    except ValueError as error:
        raise UsageError(f"{path} holds no public key in PEM") from error
    if not isinstance(key, Ed25519PublicKey):
        raise UsageError(f"{path} holds a public key that is not {ALGORITHM}")
    return base64.b64encode(key.public_bytes_raw()).decode()


def _private(path: Path) -> Ed25519PrivateKey:
    _library()
    from cryptography.hazmat.primitives import serialization as form
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    advice = f"`gome export --new-key {path}` makes one"
    try:
        key = form.load_pem_private_key(_read(path), None)
    except (ValueError, TypeError) as error:
        raise UsageError(f"{path} holds no private key in PEM without a password; {advice}") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise UsageError(f"{path} holds a private key that is not {ALGORITHM}; {advice}")
    return key


def _text(key: Ed25519PrivateKey) -> str:
    return base64.b64encode(key.public_key().public_bytes_raw()).decode()


def _read(path: Path) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read(LIMIT)
    except OSError as error:
        raise UsageError(f"cannot read the key {path}: {error.strerror}") from error


def _library() -> None:
    try:
        import cryptography  # noqa: F401
    except ImportError:
        raise UsageError('signatures need the package cryptography: pip install "gome[sign]"') from None
