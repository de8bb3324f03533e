"""Diagnostics: bound to run and event, text on a terminal, JSON elsewhere, and never a secret in them."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from typing import Any

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from gome.events import Event, NoteAdded
from gome.kernel import diagnostics
from gome.kernel.diagnostics import configure, learn, logger, redact, secrets_in

SECRET = 'sk-"quoted"\\and ünïcode-0123'


@pytest.fixture(autouse=True)
def restored(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(diagnostics, "_learnt", set())
    yield
    structlog.reset_defaults()


def lines(level: str = "info", *, terminal: bool = False) -> io.StringIO:
    out = io.StringIO()
    configure(level, stream=out, terminal=terminal)
    return out


def event() -> Event:
    return Event("e" * 32, "NoteAdded", 7, 0.0, NoteAdded(text="x"), cause="c" * 32, corr="d" * 32)


def test_a_line_is_json_bound_to_run_event_causation_and_correlation() -> None:
    out = lines()
    logger("r1", event(), plugin="scorer").info("scored", score=0.5)
    said = json.loads(out.getvalue())
    assert said.pop("timestamp").endswith("Z")
    assert said == {
        "event": "scored",
        "level": "info",
        "run": "r1",
        "event_id": "e" * 12,
        "seq": 7,
        "causation": "c" * 12,
        "correlation": "d" * 12,
        "plugin": "scorer",
        "score": 0.5,
    }


def test_on_a_terminal_a_line_is_for_people_and_colours_can_be_switched_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    out = lines(terminal=True)
    logger("r1").warning("careful")
    assert "\x1b[" in out.getvalue() and "careful" in out.getvalue()
    monkeypatch.setenv("NO_COLOR", "1")
    out = lines(terminal=True)
    logger("r1").warning("careful")
    assert "\x1b[" not in out.getvalue() and "run=r1" in out.getvalue()


def test_lines_below_the_level_are_not_written() -> None:
    out = lines("warning")
    logger().info("no")
    logger().debug("no")
    logger().warning("yes")
    assert [json.loads(line)["event"] for line in out.getvalue().splitlines()] == ["yes"]


@pytest.mark.parametrize("terminal", [True, False])
def test_a_secret_is_in_no_line_however_it_got_there(monkeypatch: pytest.MonkeyPatch, terminal: bool) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", SECRET)
    monkeypatch.setenv("NO_COLOR", "1")
    learn("learnt-token-42")
    out = lines(terminal=terminal)
    log = logger("r1", note=f"bound {SECRET}")
    log.info(f"said {SECRET} and learnt-token-42", nested={"a": [SECRET, {"b": (SECRET,)}]}, bare=SECRET)
    try:
        raise ValueError(f"refused {SECRET}")
    except ValueError as error:
        log.exception("failed", error=error)
    text = out.getvalue()
    assert "refused" in text and "Traceback" in text and "***" in text
    for hidden in (SECRET, json.dumps(SECRET)[1:-1], repr(SECRET)[1:-1], "0123", "learnt-token-42"):
        assert hidden not in text


def test_which_variables_are_secret_and_which_only_look_so() -> None:
    environ = {
        "HF_TOKEN": "hf_abcdef",
        "db_password": "hunter2",
        "AWS_SECRET_ACCESS": "wJalr",
        "TOKENIZERS_PARALLELISM": "false",
        "MAX_TOKENS": "4096",
        "SOME_KEY": "abc",
        "HOME": "/home/me",
    }
    assert secrets_in(environ) == {"hf_abcdef", "hunter2", "wJalr"}


def test_credentials_in_urls_are_hidden_without_being_known() -> None:
    text = "no answer from nats://user:pa55@host:4222 and nats://tok@h, see https://host/path@2"
    assert redact(text) == "no answer from nats://***@host:4222 and nats://***@h, see https://host/path@2"


def test_a_secret_that_contains_another_is_hidden_whole() -> None:
    learn("abcdef")
    learn("xxabcdefyy")
    assert redact("xxabcdefyy abcdef") == "*** ***"


@given(secret=st.text(min_size=4, max_size=30), before=st.text(max_size=20), after=st.text(max_size=20))
def test_no_text_keeps_a_learnt_secret(secret: str, before: str, after: str) -> None:
    diagnostics._learnt.clear()
    learn(secret)
    known = secret in diagnostics._learnt
    text = redact(json.dumps({"a": before + secret + after}, ensure_ascii=False))
    if known and "*" not in secret:
        assert json.dumps(secret)[1:-1] not in text
        assert secret not in redact(before + secret + after)


def test_importing_diagnostics_does_not_import_structlog() -> None:
    code = "import sys, gome.kernel.diagnostics; sys.exit('structlog' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
