"""An OpenAI-compatible `/embeddings` endpoint, asked over httpx. Imported only where the settings name it.

Nothing of an answer but its vectors and its count of tokens is kept, and nothing of it is quoted in an error: what a
server says about a refused request may repeat the key.
"""

from __future__ import annotations

import os

import httpx
import msgspec
from msgspec import Struct, field

from gome.plugins.memory.kernel.embedders import Unavailable
from gome.plugins.memory.kernel.settings import Settings

BATCH = 256
"""Texts per request."""


class _Row(Struct):
    embedding: list[float]
    index: int


class _Usage(Struct):
    prompt_tokens: int | None = None
    total_tokens: int | None = None


class _Answer(Struct):
    data: list[_Row]
    usage: _Usage | None = field(default=None)


def ask(texts: list[str], settings: Settings) -> tuple[list[list[float]], int | None]:
    """Return a vector per text and the tokens paid for (None where the endpoint does not count them). Raises
    `Unavailable` when it cannot be reached, refuses, or answers with something else than vectors."""
    key = os.environ.get(settings.key_env, "")
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    url = f"{settings.base_url.rstrip('/')}/embeddings"
    vectors: list[list[float]] = []
    tokens: int | None = 0
    try:
        with httpx.Client(timeout=settings.timeout, headers=headers) as client:
            for start in range(0, len(texts), BATCH):
                # An empty text is refused by many endpoints.
                batch = [text or " " for text in texts[start : start + BATCH]]
                reply = client.post(url, json={"model": settings.model, "input": batch, "encoding_format": "float"})
                if reply.status_code != 200:
                    raise Unavailable(f"the embeddings endpoint {url} answered {reply.status_code}")
                answer = msgspec.json.decode(reply.content, type=_Answer)
                rows = sorted(answer.data, key=lambda row: row.index)
                if [row.index for row in rows] != list(range(len(batch))):
                    raise Unavailable(f"the embeddings endpoint {url} answered {len(rows)} vectors to {len(batch)}")
                vectors += [row.embedding for row in rows]
                used = (answer.usage.prompt_tokens or answer.usage.total_tokens) if answer.usage else None
                tokens = None if tokens is None or used is None else tokens + used
    except httpx.HTTPError as error:
        raise Unavailable(f"the embeddings endpoint {url} cannot be used ({type(error).__name__})") from error
    except (httpx.InvalidURL, msgspec.MsgspecError) as error:
        raise Unavailable(f"the embeddings endpoint {url} does not speak this protocol") from error
    if len({len(vector) for vector in vectors}) != 1 or not vectors[0]:
        raise Unavailable(f"the embeddings endpoint {url} answered vectors of unequal length")
    return vectors, tokens
