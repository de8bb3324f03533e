"""The plugin's table in the settings, checked when a run starts. What its keys mean is said in the package's docstring.

Nothing here may be a secret, because tables of settings are part of a run's first event: keys and telling headers are
named by the variable that holds them.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Annotated, Literal

from msgspec import Meta, Struct, field

PUBLIC = "https://api.openai.com/v1"
"""Where requests go when neither the setting nor OPENAI_BASE_URL says otherwise."""
_TELLING = re.compile(r"auth|key|token|secret|cookie|password", re.IGNORECASE)
_VARIABLE = r"[A-Za-z_][A-Za-z0-9_]*"
_NAMED = re.compile(rf"\$({_VARIABLE})")

Seconds = Annotated[float, Meta(gt=0)]


class Settings(Struct, frozen=True):
    """The table `[openai]`; see the package's docstring."""

    # Without user, query and fragment: keys have no place in a URL that is recorded.
    base_url: Annotated[str, Meta(pattern=r"^(https?://[^/@?#\s]+(/[^@?#\s]*)?)?$")] = ""
    key_variable: Annotated[str, Meta(pattern=rf"^({_VARIABLE})?$")] = "OPENAI_API_KEY"
    api_version: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    mode: Literal["auto", "schema", "json", "text"] = "auto"
    streaming: bool = True
    concurrency: Annotated[int, Meta(ge=1)] = 8
    tries: Annotated[int, Meta(ge=1, le=100)] = 6
    backoff: Annotated[float, Meta(ge=0)] = 1.0
    connect: Seconds = 10.0
    first_token: Seconds = 300.0
    between_tokens: Seconds = 120.0
    total: Seconds = 1800.0
    largest: Annotated[int, Meta(ge=1000)] = 400_000

    def __post_init__(self) -> None:
        for name, value in self.headers.items():
            if _TELLING.search(name) and not _NAMED.fullmatch(value):
                raise ValueError(
                    f'header {name} looks like a secret, and settings are recorded; write "$VARIABLE" and put the '
                    "value into that variable or the secrets file"
                )

    def url(self, environ: Mapping[str, str] = os.environ) -> str:
        """The base URL that holds here, without a slash at its end."""
        return (self.base_url or environ.get("OPENAI_BASE_URL") or PUBLIC).rstrip("/")

    def key(self, environ: Mapping[str, str] = os.environ) -> str:
        """The key, "" where there is none."""
        return environ.get(self.key_variable, "").strip() if self.key_variable else ""

    def sent_headers(self, environ: Mapping[str, str] = os.environ) -> tuple[dict[str, str], set[str]]:
        """The headers to send, and which of their values are secrets."""
        sent, secret = {}, set()
        for name, value in self.headers.items():
            if variable := _NAMED.fullmatch(value):
                value = environ.get(variable[1], "")
                secret.add(value)
            sent[name] = value
        return sent, secret - {""}
