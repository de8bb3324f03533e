"""Settings that belong to no plugin: what the loop as a whole does, and how models are asked. For plugins to read.

`[loop]` switches the parts that the ablations of the paper take away, for every reasoner alike; `[completion]` says
which models are asked and what of the data they may see. Both are resolved when a run starts and stand in the tables of
`RunStarted.settings`, where deciders and performers find them; runs recorded before a table existed get its defaults.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct, field

from gome.events import CompletionRole
from gome.events.scope import Reach

Share = Literal["none", "schema", "sample"]
"""What prompts may hold of the data: the task's text and metric only; also column names, types and aggregates; also a
few rows."""


class LoopSettings(Struct, frozen=True):
    """`diagnosis`: reasoners name challenges with evidence and score hypotheses; without it one change is asked for
    directly. `memory`: what other steps gained is recalled; without it a reasoner sees the solution it improves on and
    the failures since. `shared`: memory spans all traces (the branches of a tree); without it a step remembers its own
    trace only."""

    diagnosis: bool = True
    memory: bool = True
    shared: bool = True

    @property
    def reach(self) -> Reach:
        """How far memory reaches."""
        return "none" if not self.memory else "shared" if self.shared else "own"


class Price(Struct, frozen=True):
    """USD per million tokens; `cached` is for prompt tokens that the endpoint had cached (None: as `input`)."""

    input: Annotated[float, Meta(ge=0)]
    output: Annotated[float, Meta(ge=0)]
    cached: Annotated[float, Meta(ge=0)] | None = None


class CompletionSettings(Struct, frozen=True):
    """How models are asked. (The plugin that asks is named beside these: `completion.plugin`.)

    `model` is asked wherever `researcher`, `developer` or `judge` name no other. `effort`, `temperature` and `seed` are
    sent only where set. `max_tokens` bounds one reply, reasoning included. A reply that does not fit its type is sent
    back with the error at most `repairs` times; one that was cut is continued, or asked again with twice the room, at
    most `continuations` times. `share` says what prompts may hold of the data. `prices` maps models to prices; a model
    that is not in it has an unknown price.
    """

    model: str = ""
    researcher: str = ""
    developer: str = ""
    judge: str = ""
    effort: str = ""
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    seed: int | None = None
    max_tokens: Annotated[int, Meta(ge=16)] = 16_000
    repairs: Annotated[int, Meta(ge=0, le=10)] = 2
    continuations: Annotated[int, Meta(ge=0, le=10)] = 3
    share: Share = "schema"
    prices: dict[str, Price] = field(default_factory=dict)

    def model_for(self, role: CompletionRole) -> str:
        """The model that a role asks; "" when none is set."""
        named: str = getattr(self, role)
        return named or self.model

    def price_of(self, model: str) -> Price | None:
        """The price of a model, None when it is unknown."""
        return self.prices.get(model)


TABLES: Mapping[str, type[Struct]] = {"loop": LoopSettings, "completion": CompletionSettings}
"""Tables of the settings that are the kernel's own, by name."""


def loop_settings(settings: Mapping[str, Any]) -> LoopSettings:
    """The `loop` table of a run's settings."""
    return msgspec.convert(settings.get("loop", {}), LoopSettings)


def completion_settings(settings: Mapping[str, Any]) -> CompletionSettings:
    """The `completion` table of a run's settings."""
    return msgspec.convert(settings.get("completion", {}), CompletionSettings)
