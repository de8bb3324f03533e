"""The catalogue of moves: each reads the facts and yields ideas, concrete changes with a reason and a prior gain.

A move names the challenges it answers; only moves whose challenge was diagnosed are asked. Whether an idea is new,
allowed, affordable and worth trying is decided in `propose`, so moves stay short and need no memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from gome.plugins.reasoner.playbook.facts import Facts
from gome.plugins.reasoner.playbook.idea import Idea
from gome.plugins.reasoner.playbook.moves import blending, crossing, drafting, features, modelling, repairing, tuning


@dataclass(frozen=True)
class Move:
    """A move by name, the challenges that trigger it, and the function that yields its ideas."""

    name: str
    answers: tuple[str, ...]
    ideas: Callable[[Facts], Iterator[Idea]]


MOVES: tuple[Move, ...] = (
    Move("draft", ("no solution yet",), drafting.drafts),
    Move("features", features.ANSWERS, features.add_bundle),
    Move("select columns", ("many columns", "drift"), features.select_columns),
    Move("drop features", ("many columns",), features.drop_kind),
    Move("more rounds", ("stops at its cap", "does not fit training rows closely"), modelling.more_capacity),
    Move("less capacity", ("fits training rows too closely",), modelling.less_capacity),
    Move("finer steps", ("learns too fast",), modelling.finer_steps),
    Move("target", ("skewed target", "outliers"), modelling.target),
    Move("loss", ("outliers", "error in one slice", "skewed target"), modelling.loss),
    Move("class weight", ("rare class",), modelling.class_weight),
    Move("temperature", ("poorly calibrated", "settings are first guesses"), modelling.temperature),
    Move("encoding", ("settings are first guesses", "many columns", "many levels"), modelling.encoding),
    Move("bag", ("one seed",), modelling.bag),
    Move("join", ("unused programs",), blending.join),
    Move("add member", ("one kind of model", "missing families", "error in one slice"), blending.add_family),
    Move("add variant", ("leading member",), blending.add_variant),
    Move("prune", ("useless members",), blending.prune),
    Move("blend kind", ("weights are fitted", "poorly calibrated"), blending.kind),
    Move("repair", ("does not run",), repairing.repair),
    Move("cross", (crossing.PROBLEM,), crossing.cross),
    Move("tune", ("settings are first guesses", "leading member"), tuning.neighbour),
)
"""All moves, in the order of the playbook."""
