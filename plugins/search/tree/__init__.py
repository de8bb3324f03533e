"""Tree searches: the published baselines and a control, each a policy over one fold of the run.

`fold` keeps the tree, `decide` makes a search plugin of a policy, and each policy has a module of its own. They decide
what is built on what; what to change is the reasoner's affair, which is shown only what the step's context names.
"""

from __future__ import annotations

from gome.plugins.search.tree import aide as _aide
from gome.plugins.search.tree import aira_evo as _aira_evo
from gome.plugins.search.tree import aira_mcts as _aira_mcts
from gome.plugins.search.tree import mlevolve as _mlevolve
from gome.plugins.search.tree import mlmaster as _mlmaster
from gome.plugins.search.tree import uniform as _uniform
from gome.plugins.search.tree.decide import as_plugin

aide_search = as_plugin(_aide.aide)
aira_greedy_search = as_plugin(_aide.aira_greedy)
mlmaster_search = as_plugin(_mlmaster.mlmaster)
aira_mcts_search = as_plugin(_aira_mcts.aira_mcts)
aira_evo_search = as_plugin(_aira_evo.aira_evo)
mlevolve_search = as_plugin(_mlevolve.mlevolve)
random_search = as_plugin(_uniform.uniform)
"""What the entry points name."""

PLUGINS = (
    aide_search,
    aira_greedy_search,
    mlmaster_search,
    aira_mcts_search,
    aira_evo_search,
    mlevolve_search,
    random_search,
)
"""All of them."""
