"""One step in one hyper-parameter of a leading member: what remains when no diagnosis points anywhere else."""

from __future__ import annotations

from collections.abc import Iterator

from gome.plugins.reasoner.playbook.facts import Facts
from gome.plugins.reasoner.playbook.families import neighbours
from gome.plugins.reasoner.playbook.idea import Idea
from gome.plugins.reasoner.playbook.moves.features import leading


def neighbour(facts: Facts) -> Iterator[Idea]:
    """Neighbouring settings of the leading members, each one step from the present one."""
    for index, m in leading(facts, 3):
        for what, change in neighbours(facts, m.spec):
            name = next(iter(change))
            yield Idea(
                move="tune",
                variant=f"{m.family} {name}",
                component="model",
                problem="settings are first guesses" if len(facts.members) == 1 else "leading member",
                statement=f"Change one setting of the {m.family}: {what}",
                reason=f"{facts.rejected_in_a_row} steps of this trace in a row were refused; the {m.family} weighs "
                f"{m.weight:.0%}, and its setting {name} is a first guess",
                change={"edit": {"member": index, "set": {"model": change}}},
                gain=0.004 * (0.2 + 0.8 * m.weight),
                chance=0.35,
                family=m.family,
            )
