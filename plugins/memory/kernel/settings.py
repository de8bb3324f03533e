"""The memory's table in the settings; read by the decider and by the performer."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from msgspec import Meta, Struct

Embedder = Literal["hashed", "minilm", "endpoint"]


class Settings(Struct, frozen=True):
    """`rule` is how memories are weighed and drawn (see `rules`; the profiles `robust` and `published` set it), `limit`
    how many a step is told, `failures` how many of those may be failures. `across` also tells of finished runs on other
    tasks in the same log. `backend` is what computes similarities (`auto`: torch where it is installed, else numpy),
    `embedder` what texts are compared by: hashed n-grams, the MiniLM of `gome[minilm]`, or an OpenAI-compatible
    endpoint, for which `base_url` (up to and without `/embeddings`), `model`, `timeout` (seconds) and `price` (USD per
    million tokens; None: unknown) hold. Its key comes from the environment variable that `key_env` names, if set. Steps
    with a retrieval memory (see `retrieval`) are told of that one whatever the rule, of `limit` attempts at most."""

    rule: Literal["robust", "published"] = "robust"
    limit: Annotated[int, Meta(ge=0)] = 12
    failures: Annotated[int, Meta(ge=0)] = 4
    across: bool = False
    backend: Literal["auto", "torch", "numpy"] = "auto"
    embedder: Embedder = "hashed"
    base_url: str = "https://api.openai.com/v1"
    model: str = "text-embedding-3-small"
    key_env: str = "OPENAI_API_KEY"
    timeout: Annotated[float, Meta(gt=0)] = 10.0
    price: Annotated[float, Meta(ge=0)] | None = None

    def __post_init__(self) -> None:
        if self.across and self.rule == "published":
            raise ValueError('across needs rule = "robust": the published rule compares scores of one metric only')
        if not re.match(r"https?://[^/\s]", self.base_url):
            raise ValueError("base_url is not a URL such as http://host:8000/v1")
        if re.search(r"://[^/]*@", self.base_url):
            raise ValueError("base_url may not hold credentials; put the key into the variable that key_env names")


def read_settings(table: object) -> Settings:
    """Return the settings of a table as it stands in `RunStarted.settings`; unknown keys are ignored."""
    known = table if isinstance(table, dict) else {}
    return Settings(**{k: known[k] for k in Settings.__struct_fields__ if k in known})
