"""Settings: precedence, origins down to the line, secrets kept apart, plugin tables, profiles, durations."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gome.kernel import diagnostics
from gome.kernel.errors import UsageError
from gome.kernel.profiles import find_profile, profiles
from gome.kernel.settings import Settings, cores, load, plugin_settings, seconds
from gome.kernel.settings_file import dotted, flat, key_lines, nested, parse

TOML = """\
# settings
home = "state"
capacity = 3

[playbook]
strength = 0.5   # in [0, 1]
notes = \"\"\"
strength = 9
\"\"\"
moves = [
  "a",
  "b",
]

[openai.prices."gpt-4.1"]
input = 2.0
"""


class Prices(msgspec.Struct, frozen=True):
    input: float = 0.0


class Playbook(msgspec.Struct, frozen=True):
    strength: Annotated[float, msgspec.Meta(ge=0, le=1)] = 1.0
    limit: float | None = None
    notes: str = ""
    moves: list[str] = []
    enabled: bool = True
    prices: Prices = Prices()


def read(folder: Path, text: str = "", **more: Any) -> Settings:
    (folder / "gome.toml").write_text(text)
    return load(folder=folder, environ=more.pop("environ", {}), **more)


@pytest.fixture(autouse=True)
def nothing_learnt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(diagnostics, "_learnt", set())


def test_without_any_source_the_defaults_hold(tmp_path: Path) -> None:
    settings = load(folder=tmp_path, environ={})
    assert settings.home == tmp_path / ".gome"
    assert settings.capacity == cores() >= 1
    assert (settings.nats_url, settings.tenant, settings.log_level, settings.plugins) == ("", "main", "info", {})
    assert all(where == "default" for _, _, where in settings.explain())


def test_traces_are_three_unless_file_profile_variable_or_flag_say_otherwise(tmp_path: Path) -> None:
    def single(name: str) -> Mapping[str, Any]:
        return {"traces": 1}

    assert read(tmp_path).traces == 3
    assert read(tmp_path, "traces = 5").traces == 5
    assert read(tmp_path, 'profile = "single"', profiles=single).traces == 1
    assert read(tmp_path, 'profile = "single"\ntraces = 4', profiles=single).traces == 4
    assert read(tmp_path, "traces = 5", environ={"GOME_TRACES": "7"}).traces == 7
    assert read(tmp_path, "traces = 5", flags={"traces": 2}).traces == 2
    flags = {"traces": None, "profile": "single"}
    assert read(tmp_path, "traces = 5", flags=flags, profiles=single).traces == 1, "a flag that was not given is none"


@pytest.mark.parametrize(("text", "why"), [("0", "at least 1"), ("1001", "at most 1000"), ('"many"', "a whole number")])
def test_traces_that_make_no_sense_are_refused_with_their_line(tmp_path: Path, text: str, why: str) -> None:
    with pytest.raises(UsageError, match=rf"gome.toml.*traces: {why}"):
        read(tmp_path, f"traces = {text}")


def test_a_file_is_read_and_every_value_knows_its_line(tmp_path: Path) -> None:
    settings = read(tmp_path, TOML)
    assert settings.home == tmp_path / "state"
    assert settings.plugins["playbook"]["moves"] == ["a", "b"]
    assert settings.plugins["openai"]["prices"]["gpt-4.1"] == {"input": 2.0}
    file = tmp_path / "gome.toml"
    where = {key: origin for key, _, origin in settings.explain()}
    assert where["home"] == f"{file}:2"
    assert where["playbook.strength"] == f"{file}:6"
    assert where["playbook.notes"] == f"{file}:7"
    assert where["playbook.moves"] == f"{file}:10"
    assert where['openai.prices."gpt-4.1".input'] == f"{file}:16"
    assert where["tenant"] == "default"


def test_paths_are_relative_to_the_source_that_names_them(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "my.toml").write_text('home = "state"\nartifacts = "pool"')
    settings = load(config=elsewhere / "my.toml", folder=tmp_path, environ={})
    assert (settings.home, settings.artifacts) == (elsewhere / "state", str(elsewhere / "pool"))
    settings = load(config=elsewhere / "my.toml", folder=tmp_path, environ={"GOME_HOME": "mine"})
    assert settings.home == tmp_path / "mine"
    assert load(folder=tmp_path, environ={"GOME_ARTIFACTS": "s3://bucket/x"}).artifacts == "s3://bucket/x"


sources = st.fixed_dictionaries(
    {},
    optional={name: st.integers(1, 500) for name in ("file", "profile", "environment", "flag", "set")},
)


@given(given_by=sources, named_by=st.sampled_from(["file", "environment", "flag"]))
def test_the_last_source_that_says_something_wins(
    tmp_path_factory: pytest.TempPathFactory, given_by: dict[str, int], named_by: str
) -> None:
    folder = tmp_path_factory.mktemp("settings")
    profiled = "profile" in given_by
    text = 'profile = "p"\n' if profiled and named_by == "file" else ""
    text += f"capacity = {given_by['file']}\n" if "file" in given_by else ""
    environ = {"GOME_PROFILE": "p"} if profiled and named_by == "environment" else {}
    environ |= {"GOME_CAPACITY": str(given_by["environment"])} if "environment" in given_by else {}
    flags: dict[str, Any] = {"capacity": given_by.get("flag"), "profile": None}
    flags |= {"profile": "p"} if profiled and named_by == "flag" else {}
    sets = [f"capacity={given_by['set']}"] if "set" in given_by else []
    settings = read(
        folder, text, environ=environ, flags=flags, sets=sets, profiles=lambda name: {"capacity": given_by["profile"]}
    )
    order = ["file", "environment", "flag", "set"]
    order.insert(order.index(named_by), "profile")
    winner = next((source for source in reversed(order) if source in given_by), None)
    assert settings.capacity == (given_by[winner] if winner else cores())
    said = dict((key, origin) for key, _, origin in settings.explain())["capacity"]
    names = {"file": "gome.toml", "profile": "profile p", "environment": "GOME_CAPACITY", "flag": "--capacity"}
    names |= {"set": "--set capacity", "": "default"}
    assert names[winner or ""] in said


leaves = st.recursive(
    st.integers(0, 9) | st.booleans(),
    lambda inner: st.dictionaries(st.sampled_from(["a", "b", "a.b", "ä c"]), inner, max_size=3),
    max_leaves=6,
)
tables = st.dictionaries(st.sampled_from(["one", "two"]), leaves.filter(lambda v: isinstance(v, dict)), max_size=2)


def laid_over(below: Any, above: Any) -> Any:
    if not (isinstance(below, Mapping) and isinstance(above, Mapping)):
        return above
    return {
        key: laid_over(below[key], above[key]) if key in below and key in above else below.get(key, above.get(key))
        for key in {**below, **above}
    }


def pruned(value: Any) -> Any:
    return {k: pruned(v) for k, v in value.items()} if isinstance(value, Mapping) else value


@given(below=tables, above=tables)
def test_tables_are_merged_key_by_key(
    tmp_path_factory: pytest.TempPathFactory, below: dict[str, Any], above: dict[str, Any]
) -> None:
    folder = tmp_path_factory.mktemp("settings")
    settings = load(folder=folder, environ={}, flags={"profile": "p", **above}, profiles=lambda name: below)
    assert settings.plugins == laid_over(below, above)


@given(values=tables)
def test_flattening_loses_nothing(values: dict[str, Any]) -> None:
    assert nested(flat(values)) == values


@given(values=st.dictionaries(st.sampled_from(["a", "b c", 'q"']), st.integers(0, 9) | st.lists(st.integers(0, 9))))
def test_the_line_found_for_a_key_is_the_line_it_was_written_on(values: dict[str, Any]) -> None:
    lines, expected = ["# head", ""], {}
    for key, value in values.items():
        expected[(key,)] = len(lines) + 1
        lines += f"{dotted((key,))} = {value}".replace(",", ",\n" if isinstance(value, list) else ",").split("\n")
        lines += ["# remark", ""]
    text = "\n".join(lines)
    assert parse(text, "x") == values
    assert key_lines(text) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("capacity = ", "gome.toml:1: invalid value"),
        ('home = "a"\nhome = "b"', "gome.toml:2: cannot overwrite a value"),
        ("\n\ncapcity = 3", "gome.toml:3: capcity: there is no such setting; did you mean capacity"),
        ('capacity = "many"', "gome.toml:1: capacity: a whole number is wanted here"),
        ("capacity = 0", "gome.toml:1: capacity: at least 1"),
        ("capacity = true", "gome.toml:1: capacity: a whole number"),
        ("home = 3", "gome.toml:1: home: a text is wanted here"),
        ("[home]\nx = 1", "gome.toml:2: home: a text is wanted here"),
        ("[search]\nx = 1", "gome.toml:2: search: a text is wanted here"),
        ('log_level = "loud"', "gome.toml:1: log_level: 'loud' is none of debug, info, warning, error"),
        ('tenant = "a.b"', "gome.toml:1: tenant: 'a.b' may hold letters"),
        ('nats = "localhost"', "gome.toml:1: nats: 'localhost' is not a URL such as nats://host:4222"),
        ('nats = "nats://user:pass@host"', "gome.toml:1: nats: a URL in settings may not hold credentials"),
        ('nats_token = "s3cret"', "gome.toml:1: nats_token is a secret; it comes from the variable GOME_NATS_TOKEN"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_file_line_and_key(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        read(tmp_path, text)
    assert message in str(caught.value).replace(str(tmp_path) + "/", "")
    assert "s3cret" not in str(caught.value) and "pass@" not in str(caught.value)


def test_a_named_file_must_be_there_and_be_text(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"cannot read settings from .*none.toml: No such file"):
        load(config=tmp_path / "none.toml", environ={})
    (tmp_path / "gome.toml").write_bytes(b"\xff")
    with pytest.raises(UsageError, match="it is not UTF-8"):
        load(folder=tmp_path, environ={})


def test_set_takes_toml_and_bare_words_and_quoted_keys(tmp_path: Path) -> None:
    sets = [
        "playbook.strength=0.5",
        "playbook.enabled = false",
        "playbook.limit=90s",
        'playbook.moves=["a", "b"]',
        "search=aira-mcts",
        'openai.prices."gpt-4.1".input=2',
        "playbook.strength=0.25",
    ]
    settings = read(tmp_path, sets=sets)
    assert settings.roles == {"search": "aira-mcts"}
    assert settings.plugins == {
        "playbook": {"strength": 0.25, "enabled": False, "limit": "90s", "moves": ["a", "b"]},
        "openai": {"prices": {"gpt-4.1": {"input": 2}}},
    }


@pytest.mark.parametrize(
    "text",
    ["", "playbook", "=3", "playbook.=3", "a b=3", "playbook.x=", "x.y=[1,", "x.y=1\nz.a=2", "x.y=a b", "nats_token=x"],
)
def test_set_refuses_what_is_not_one_key_and_one_value(tmp_path: Path, text: str) -> None:
    with pytest.raises(UsageError, match=r"--set|--set nats_token: nats_token is a secret"):
        read(tmp_path, sets=[text])


def test_a_lease_is_at_least_as_long_as_workers_can_keep(tmp_path: Path) -> None:
    assert load(folder=tmp_path, environ={}).lease == 30
    assert load(folder=tmp_path, environ={"GOME_LEASE": "5"}).lease == 5
    with pytest.raises(UsageError, match="lease: at least 5 is wanted, not 1"):
        load(folder=tmp_path, environ={"GOME_LEASE": "1"})


def test_replicas_are_one_three_or_five_and_left_to_the_server_by_default(tmp_path: Path) -> None:
    assert load(folder=tmp_path, environ={}).replicas == 0
    assert load(folder=tmp_path, environ={"GOME_REPLICAS": "3"}).replicas == 3
    (tmp_path / "gome.toml").write_text("replicas = 2\n")
    with pytest.raises(UsageError, match=r"gome\.toml:1: replicas: 2 is none of 1, 3, 5"):
        load(folder=tmp_path, environ={})


def test_the_user_is_no_secret_that_errors_have_to_hide(tmp_path: Path) -> None:
    file = tmp_path / "runner.secrets"
    file.write_text('GOME_NATS_USER = "runner-of-a-test"\nGOME_NATS_PASSWORD = "password-of-a-test"\n')
    file.chmod(0o600)
    settings = load(folder=tmp_path, environ={"GOME_SECRETS": str(file)})
    assert (settings.nats_user, settings.nats_password) == ("runner-of-a-test", "password-of-a-test")
    told = diagnostics.redact("user runner-of-a-test, password password-of-a-test")
    assert told == "user runner-of-a-test, password ***"


def test_secrets_come_from_the_environment_or_a_private_file_and_never_show(tmp_path: Path) -> None:
    secrets = tmp_path / "secrets.toml"
    secrets.write_text('GOME_NATS_TOKEN = "from-the-file"\nOPENAI_API_KEY = "sk-12345"\n')
    secrets.chmod(0o644)
    with pytest.raises(UsageError, match=r"is open to others; make it yours alone: chmod 600"):
        read(tmp_path, 'secrets = "secrets.toml"')
    secrets.chmod(0o600)
    settings = read(tmp_path, 'secrets = "secrets.toml"')
    assert settings.nats_token == "from-the-file"
    shown = repr(settings) + str(settings.explain())
    assert "from-the-file" not in shown and "sk-12345" not in shown
    assert ("OPENAI_API_KEY", "***", str(secrets)) in settings.explain()
    assert diagnostics.redact("sk-12345 from-the-file") == "*** ***"
    settings = read(tmp_path, 'secrets = "secrets.toml"', environ={"GOME_NATS_TOKEN": "from-outside"})
    assert settings.nats_token == "from-outside"
    environ = {"OPENAI_API_KEY": "mine"}
    settings.export_secrets(environ)
    assert environ == {"OPENAI_API_KEY": "mine", "GOME_NATS_TOKEN": "from-the-file"}
    for wrong in ('A = "sk-12345', "A = 12345"):
        secrets.write_text(wrong)
        with pytest.raises(UsageError, match=r"secrets.toml:1: ") as caught:
            read(tmp_path, 'secrets = "secrets.toml"')
        assert "12345" not in str(caught.value)


def test_a_plugins_table_is_checked_against_its_struct(tmp_path: Path) -> None:
    settings = read(tmp_path, TOML)
    table = settings.plugins["playbook"]
    found = plugin_settings("playbook", Playbook, table, {"limit": "1h30m", "prices": {"input": 1.0}}, settings.origins)
    assert found == Playbook(0.5, 5400.0, "strength = 9\n", ["a", "b"], True, Prices(1.0))
    assert plugin_settings("playbook", Playbook, {}) == Playbook()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "[playbook]\nstrenght = 1",
            ":2: playbook.strenght: there is no such setting; did you mean playbook.strength?",
        ),
        ("[playbook]\nstrength = 2", ":2: playbook.strength: expected `float` <= 1.0"),
        ("[playbook]\n\nmoves = [1]", ":3: playbook.moves[0]: expected `str`, got `int`"),
        ('[playbook]\nenabled = "yes"', ":2: playbook.enabled: expected `bool`, got `str`"),
        ('[playbook]\nstrength = "high"', ":2: playbook.strength: expected `float`, got `str`"),
        ("[playbook.prices]\ninptu = 1", ":2: playbook.prices.inptu: there is no such setting; did you mean"),
    ],
)
def test_a_wrong_plugin_setting_is_named_with_its_line(tmp_path: Path, text: str, message: str) -> None:
    settings = read(tmp_path, text)
    with pytest.raises(UsageError) as caught:
        plugin_settings("playbook", Playbook, settings.plugins["playbook"], origins=settings.origins)
    assert f"gome.toml{message}" in str(caught.value)
    with pytest.raises(UsageError, match=r"^playbook\."):
        plugin_settings("playbook", Playbook, settings.plugins["playbook"])


def test_a_table_of_no_plugin_is_refused_with_its_line_and_the_nearest_name(tmp_path: Path) -> None:
    settings = read(tmp_path, "\n[playbok]\nstrength = 1")
    with pytest.raises(UsageError, match=r"gome.toml:3: playbok: no plugin .*; did you mean playbook\?"):
        settings.check_tables(["gradient", "playbook"])
    settings.check_tables(["playbok"])
    with pytest.raises(UsageError, match=r"gome.toml:1: empty: no plugin"):
        read(tmp_path, "[empty]").check_tables([])


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    for name, files in {"pkg_one": ["robust", "common"], "pkg_two": ["released", "common"], "pkg_bare": []}.items():
        (tmp_path / "site" / name).mkdir(parents=True)
        (tmp_path / "site" / name / "__init__.py").touch()
        for file in files:
            (tmp_path / "site" / name / "profiles").mkdir(exist_ok=True)
            (tmp_path / "site" / name / "profiles" / f"{file}.toml").write_text(f'[gradient]\nkernel = "{file}"\n')
    (tmp_path / "site" / "pkg_broken.py").write_text("raise RuntimeError('on import')")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    return ["pkg_one", "pkg_two", "pkg_bare", "pkg_broken", "pkg_absent", "pkg_one"]


def test_profiles_are_found_by_name_in_plugin_packages(packages: list[str], tmp_path: Path) -> None:
    assert sorted(profiles(packages)) == ["common", "released", "robust"]
    assert find_profile("released", packages) == {"gradient": {"kernel": "released"}}
    with pytest.raises(UsageError, match=r"robuts: there is no such profile; did you mean robust\?"):
        find_profile("robuts", packages)
    with pytest.raises(UsageError, match=r"profile common is ambiguous: .*pkg_one.* and .*pkg_two"):
        find_profile("common", packages)
    settings = read(tmp_path, flags={"profile": "robust"}, profiles=lambda name: find_profile(name, packages))
    assert settings.profile == "robust" and settings.plugins == {"gradient": {"kernel": "robust"}}
    assert ("gradient.kernel", "robust", "profile robust") in settings.explain()


def test_a_profile_may_speak_of_plugins_that_are_not_in_the_run_and_a_person_may_not(tmp_path: Path) -> None:
    def profile(name: str) -> dict[str, Any]:
        return {"absent": {"depth": 3}, "gradient": {"draft": 0.1}}

    read(tmp_path, flags={"profile": "p"}, profiles=profile).check_tables(["gradient"])
    for said in ({"absent": {"depth": 4}}, {"absent": {"width": 4}}):
        settings = read(tmp_path, flags={"profile": "p", **said}, profiles=profile)
        with pytest.raises(UsageError, match=r"absent: no plugin has settings of this name"):
            settings.check_tables(["gradient"])


@pytest.mark.parametrize(
    ("said", "search", "refused"),
    [
        ({"search": "aide", "aide": {"scaled": False}}, "gradient", "aide"),
        ({"search": "random"}, "gradient", "random"),
        ({"aide": {"scaled": False}}, "gradient", "aide"),
        ({"search": "aide", "guard": {"seeds": 1}}, "gradient", "aide"),
        ({"search": "aide", "aide": {"scaled": False}}, "aide", ""),
        ({"search": "aide", "aide": {"scaled": False}, "gradient": {"draft": 0.1}}, "gradient", ""),
        ({"gradient": {"parents": 0}, "traces": 1}, "aide", ""),
        ({"guard": {"seeds": 1}}, "aide", ""),
        ({}, "aide", ""),
    ],
)
def test_a_profile_that_is_made_for_another_search_is_refused(
    tmp_path: Path, said: dict[str, Any], search: str, refused: str
) -> None:
    settings = read(tmp_path, 'profile = "p"\nsearch = "gradient"', profiles=lambda name: said)
    searches = ("aide", "gradient", "random")
    if not refused:
        settings.check_profile(search, searches)
        return
    made = rf"profile p \(.*gome.toml:1\) is made for the search {refused}, and this run's search is {search}: leave"
    with pytest.raises(UsageError, match=made):
        settings.check_profile(search, searches)


@pytest.mark.parametrize("key", ["home", "secrets", "profile", "nats_token"])
def test_a_profile_may_not_say_where_things_are_kept(tmp_path: Path, key: str) -> None:
    with pytest.raises(UsageError, match=key):
        read(tmp_path, flags={"profile": "p"}, profiles=lambda name: {key: "x"})


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("90s", 90),
        ("3m", 180),
        ("1h30m", 5400),
        ("1h 30m", 5400),
        ("1.5h", 5400),
        ("2d", 172800),
        ("250ms", 0.25),
        ("12", 12),
        ("0.5", 0.5),
        (" 7 ", 7),
        (3, 3),
        (2.5, 2.5),
        ("0", 0),
    ],
)
def test_durations_are_read(text: str | float, value: float) -> None:
    assert seconds(text) == value


@pytest.mark.parametrize("text", ["", "3 minutes", "m", "-3m", "3x", "1h-30m", "nan", "inf", "-1", -1, True, "1e999"])
def test_what_is_no_duration_is_refused_with_examples(text: str | float) -> None:
    with pytest.raises(UsageError, match="is not a duration: write seconds, or units such as 90s, 3m, 1h30m, 2d"):
        seconds(text)


@given(hours=st.integers(0, 99), minutes=st.integers(0, 59), rest=st.integers(0, 59))
def test_units_add_up(hours: int, minutes: int, rest: int) -> None:
    assert seconds(f"{hours}h{minutes}m{rest}s") == hours * 3600 + minutes * 60 + rest


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="affinity is Linux's")
def test_capacity_respects_affinity() -> None:
    one = min(os.sched_getaffinity(0))
    code = f"import os; os.sched_setaffinity(0, {{{one}}}); from gome.kernel.settings import cores; print(cores())"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "1"
