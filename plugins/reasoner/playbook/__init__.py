"""The playbook: a reasoner that needs no model and no key, and the default.

It reads diagnostics and the profile of the data (`facts`, `columns`), names what holds the solution back (`diagnose`),
asks its catalogue of moves for changes (`moves`, `bundles`, `families`), weighs them by what was learnt in this run
(`believe`), and proposes the best that is new and affordable (`propose`). `reflect` says what an attempt has taught.
For experiments `strength` makes it reason worse on purpose. It is asked for one proposal at a time, so that no two
traces get the same program.
"""

from __future__ import annotations

from gome.kernel.reasoning import Feedback, Proposal, ReasonContext, as_plugin
from gome.plugins.reasoner.playbook.settings import Settings


class Playbook:
    """Both functions are imported on first use: listing plugins stays quick."""

    def propose(self, context: ReasonContext) -> Proposal | None:
        """See `gome.plugins.reasoner.playbook.propose`."""
        from gome.plugins.reasoner.playbook.propose import propose

        return propose(context)

    def reflect(self, context: ReasonContext) -> Feedback:
        """See `gome.plugins.reasoner.playbook.reflect`."""
        from gome.plugins.reasoner.playbook.reflect import reflect

        return reflect(context)


plugin = as_plugin(
    Playbook(),
    name="playbook",
    summary="diagnoses by numbers, proposes moves of a playbook, learns from what they gained; needs no model",
    one_at_a_time=True,
    default=True,
    settings=Settings,
    modules=("gome.plugins.reasoner.playbook",),
)
"""What the entry point names."""
