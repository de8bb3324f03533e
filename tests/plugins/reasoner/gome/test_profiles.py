"""The profiles: they load, say only what their plugins know, and the ablations fit any reasoner."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gome.kernel.discovery import choose, discover
from gome.kernel.errors import UsageError
from gome.kernel.profiles import find_profile
from gome.kernel.request import Request, resolve_settings
from gome.kernel.settings import ROLES, load

PROFILES = ("gome", "published", "no-reasoning", "no-memory", "own-memory", "single-trace")


def resolved(folder: Path, profile: str, reasoner: str, *sets: str, **flags: Any) -> dict[str, Any]:
    """The tables of a run with a profile and a reasoner."""
    settings = load(folder=folder, environ={}, flags={"profile": profile, **flags}, sets=sets)
    plugins = choose(discover(), {"reasoner": reasoner})
    model = "m" if reasoner == "gome" else ""
    return resolve_settings(plugins, Request(spec="t", settings=settings.plugins, model=model), settings)


@pytest.mark.parametrize("reasoner", ["gome", "playbook"])
@pytest.mark.parametrize("profile", PROFILES)
def test_a_profile_fits_a_run_with_either_reasoner(tmp_path: Path, profile: str, reasoner: str) -> None:
    tables = resolved(tmp_path, profile, reasoner)
    said = find_profile(profile)
    for name in tables.keys() & said.keys():
        assert tables[name].items() >= said[name].items()
    assert ("gome" in tables) == (reasoner == "gome")


def test_the_method_names_its_plugins_and_the_ablations_name_none() -> None:
    for profile in ("gome", "published"):
        assert find_profile(profile)["reasoner"] == "gome" and find_profile(profile)["mutator"] == "llm"
    for profile in ("no-reasoning", "no-memory", "own-memory", "single-trace"):
        assert not set(ROLES) & find_profile(profile).keys()


def test_each_ablation_switches_off_what_it_is_named_for(tmp_path: Path) -> None:
    assert resolved(tmp_path, "no-reasoning", "playbook")["loop"] == {
        "diagnosis": False,
        "memory": True,
        "shared": True,
    }
    assert resolved(tmp_path, "own-memory", "playbook")["loop"] == {"diagnosis": True, "memory": True, "shared": False}
    assert resolved(tmp_path, "no-memory", "playbook")["loop"] == {"diagnosis": True, "memory": False, "shared": True}
    assert resolved(tmp_path, "published", "gome")["kernel"]["rule"] == "published"


def test_what_a_person_sets_for_a_plugin_that_is_not_in_the_run_is_still_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="plugin gome takes no part in this run"):
        resolved(tmp_path, "gome", "playbook", "gome.critique=true")


def test_settings_out_of_range_are_refused_with_their_name(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"gome\.prompt_characters"):
        resolved(tmp_path, "gome", "gome", gome={"prompt_characters": 100})
