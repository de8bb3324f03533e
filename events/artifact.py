"""Values that stand for bytes kept elsewhere.

An `Artifact` names a file in the content-addressed store; a `Text` is a long string that may travel inline or be moved
out to that store by the appender. Reading and writing the store is the kernel's (`gome.kernel.artifacts`).
"""

from __future__ import annotations

import hashlib

from msgspec import Struct

DIGEST = "sha256-"
"""How every content address begins."""


def digest_of(data: bytes) -> str:
    """Return the content address of some bytes: `sha256-` and 64 hex digits."""
    return DIGEST + hashlib.sha256(data).hexdigest()


class Artifact(Struct, frozen=True, omit_defaults=True):
    """A file in the content-addressed store.

    `digest` is `sha256-<hex>`, `size` counts bytes, `name` is the file name a person would expect (for display and for
    materialising it in a folder) and `media` its MIME type.
    """

    digest: str
    size: int
    name: str = ""
    media: str = ""


class Text(Struct, frozen=True, omit_defaults=True, rename={"text": "$text", "ref": "$ref", "size": "$size"}):
    """A string that may be long: inline (`text`) or moved out (`ref`, with `text` None until the reader resolves it).

    `ref` is the digest of the UTF-8 bytes, so an inline and a moved-out `Text` of the same content compare equal by
    `digest`. Build one with `Text.of`; pass `pooled=True` for content repeated in many events, which the appender then
    always moves out.
    """

    text: str | None = None
    ref: str = ""
    size: int = 0

    @classmethod
    def of(cls, text: str, *, pooled: bool = False) -> Text:
        """Wrap a string; a pooled one carries its digest at once and is stored outside the record."""
        data = text.encode()
        return cls(text=text, ref=digest_of(data) if pooled else "", size=len(data))

    @property
    def digest(self) -> str:
        """Content address of the string, wherever it is kept."""
        if self.ref:
            return self.ref
        return digest_of((self.text or "").encode())

    def __str__(self) -> str:
        if self.text is None:
            raise ValueError(f"text {self.ref} is not resolved; read the event with an artifact store at hand")
        return self.text
