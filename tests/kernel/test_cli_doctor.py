"""`gome doctor`: everything is tried here, and each failure comes with what to do about it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gome.kernel.cli import main
from gome.kernel.cli.doctor import _plugins
from gome.kernel.discovery import Found
from gome.kernel.plugin import Check, Plugin
from tests.kernel.nats_server import NatsServer
from tests.llm_server import LLMServer, Reply

Asked = Callable[..., tuple[int, dict[str, dict[str, Any]]]]


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Asked:
    """Runs the doctor in an empty folder and returns its exit code and checks by name."""
    monkeypatch.chdir(tmp_path)

    def call(*flags: str) -> tuple[int, dict[str, dict[str, Any]]]:
        with pytest.raises(SystemExit) as ended:
            main(["doctor", "--json", *flags])
        return int(ended.value.code or 0), {c["name"]: c for c in map(json.loads, capsys.readouterr().out.splitlines())}

    return call


def test_the_log_the_store_and_the_roles_work_here(asked: Asked) -> None:
    _, checks = asked()
    for name in ("versions", "settings", "home", "artifacts", "server", "plugins", "roles"):
        assert checks[name]["ok"], checks[name]
    assert "round trip" in checks["server"]["detail"]
    assert any("sandbox" in name for name in checks)


def test_a_server_that_refuses_is_named_and_the_rest_is_still_checked(asked: Asked) -> None:
    code, checks = asked("--nats", "nats://127.0.0.1:1")
    assert code == 1
    assert not checks["server"]["ok"] and "GOME_NATS_TOKEN" in checks["server"]["advice"]
    assert checks["roles"]["ok"]


def test_a_log_that_fewer_servers_hold_than_wanted_is_told_of(
    asked: Asked, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = NatsServer(tmp_path / "server")
    monkeypatch.setenv("GOME_NATS_TOKEN", server.token)
    try:
        asyncio.run(server.start())
        _, checks = asked("--nats", server.url)
        assert "held by 1 server(s)" in checks["server"]["detail"] and "of 3" not in checks["server"]["detail"]
        monkeypatch.setenv("GOME_REPLICAS", "3")
        _, checks = asked("--nats", server.url)
        assert checks["server"]["ok"] and "1 of 3 servers hold GOME: " in checks["server"]["detail"]
    finally:
        server.kill()


def test_settings_that_cannot_be_read_are_a_finding(asked: Asked, tmp_path: Path) -> None:
    (tmp_path / "gome.toml").write_text("capacity = 'many'\n")
    code, checks = asked()
    assert code == 1 and not checks["settings"]["ok"] and "capacity" in checks["settings"]["detail"]
    assert "server" not in checks and checks["plugins"]["ok"]


def test_a_home_that_cannot_be_written_is_a_finding(
    asked: Asked, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("GOME_HOME", str(tmp_path / "file" / "home"))
    code, checks = asked()
    assert code == 1
    assert not checks["home"]["ok"] and "GOME_HOME" in checks["home"]["advice"]
    assert not checks["server"]["ok"]


def test_a_model_that_is_named_is_asked_and_described(asked: Asked) -> None:
    reply = Reply('{"city": "Paris", "letters": 5}', model="served-7", tokens_in=52, tokens_out=11, reasoning_tokens=3)
    with LLMServer(reply) as server:
        _, checks = asked("--model", "some", "--base-url", server.url)
        _, without = asked()
    detail = checks["model"]["detail"]
    assert checks["model"]["ok"], detail
    for said in ("some answers, served by served-7", "shape by schema", "52 + 11 (3 reasoning) tokens", "cost unknown"):
        assert said in detail
    assert "model" not in without and len(server.calls) == 1, "nobody pays for a check that was not asked for"


def test_a_model_that_cannot_be_asked_is_a_finding_with_advice(asked: Asked, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret-of-mine")
    with LLMServer(key="another") as server:
        code, checks = asked("--model", "some", "--base-url", server.url)
    assert code == 1 and not checks["model"]["ok"] and "valid key" in checks["model"]["advice"]
    assert "sk-secret-of-mine" not in str(checks) and "OPENAI_API_KEY" in checks["model"]["detail"]
    with LLMServer("no idea", "none") as server:
        _, checks = asked("--model", "some", "--base-url", server.url)
    assert not checks["model"]["ok"] and "not in the shape" in checks["model"]["detail"]
    _, checks = asked("--model", "some", "--base-url", "ftp://x")
    assert "openai.base_url" in checks["model"]["detail"]


def test_a_model_must_be_named_to_be_asked(asked: Asked, tmp_path: Path) -> None:
    with LLMServer({"city": "Paris", "letters": 5}) as server:
        _, checks = asked("--base-url", server.url)
        assert "--model" in checks["model"]["detail"]
        (tmp_path / "gome.toml").write_text("[completion]\nmodel = 'from-the-file'\n")
        _, checks = asked("--base-url", server.url)
    assert checks["model"]["ok"] and server.calls[0].model == "from-the-file"


def test_plugins_add_checks_and_one_that_raises_is_a_finding(asked: Asked, monkeypatch: pytest.MonkeyPatch) -> None:
    def ill() -> list[Check]:
        raise OSError("no such device")

    def fine() -> list[Check]:
        return [Check("gauge", False, "it shows 3", "turn it up")]

    def found(name: str, checks: Callable[[], list[Check]]) -> Found:
        return Found("gome.plugins", "plugin", name, "", "x", "1", Plugin(name=name, role="plugin", checks=checks))

    monkeypatch.setattr("gome.kernel.discovery.discover", lambda: [found("ill", ill), found("fine", fine)])
    checks = {c.name: c for c in _plugins()}
    assert checks["gauge"].advice == "turn it up"
    assert "OSError: no such device" in checks["ill"].detail
    assert not checks["roles"].ok and "search" in checks["roles"].detail
