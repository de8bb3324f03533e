"""Gome's own search: a few traces, each always stepping from its last accepted solution, merging near the end.

`decide` plans steps from what `state` has folded, in the order of a scheduler of `schedule`; it performs nothing.
"""

from __future__ import annotations

from gome.kernel.plugin import Plugin
from gome.plugins.search.gradient.decide import ANSWERS, decide
from gome.plugins.search.gradient.settings import Settings
from gome.plugins.search.gradient.state import READS, RESTARTS, evolve, initial

plugin = Plugin(
    name="gradient",
    role="search",
    summary="several traces, each improving its accepted solution by one reasoned change; merges near the end",
    reads=READS,
    answers=ANSWERS,
    initial=initial,
    evolve=evolve,
    decide=decide,
    settings=Settings,
    default=True,
    flags=(RESTARTS,),
    modules=("gome.plugins.search.gradient",),
)
"""What the entry point names."""
