"""The service over HTTP: a real server process, asked by a real client."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from gome.kernel.service.tenants import digest, new_token
from tests.kernel.nats_server import NatsServer
from tests.kernel.service.processes import Services, services
from tests.kernel.service.test_service import FEW

pytest.importorskip("starlette", reason="HTTP needs gome[serve]")
pytest.importorskip("uvicorn", reason="HTTP needs gome[serve]")


@dataclass
class Site:
    """A service that answers HTTP, with a client per tenant."""

    url: str
    tokens: dict[str, str]
    services: Services

    def client(self, tenant: str = "acme") -> httpx.Client:
        headers = {"Authorization": f"Bearer {self.tokens[tenant]}"} if tenant else {}
        return httpx.Client(base_url=self.url, headers=headers, timeout=60, trust_env=False)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("http")
    server = NatsServer(folder / "server")
    asyncio.run(server.start())
    tokens = {name: new_token() for name in ("acme", "other")}
    tables = [f'[tenants.{name}]\ntokens = ["{digest(token)}"]\n' for name, token in tokens.items()]
    (folder / "tenants.toml").write_text("".join(tables))
    with services(folder, server.url) as found:
        serving = found.start("--http", "127.0.0.1:0", "--tenants", "tenants.toml", "--capacity", "2")
        address = re.search(r"http://[\d.]+:\d+", serving.log.read_text())
        assert address is not None
        yield Site(address[0], tokens, found)
        assert serving.terminate() == 0
    server.kill()


def ended(client: httpx.Client, run: str, **headers: str) -> list[dict[str, Any]]:
    """The server-sent events of a run until its end."""
    found: list[dict[str, Any]] = []
    with client.stream("GET", f"/v1/runs/{run}/events", headers=headers) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        event: dict[str, str] = {}
        for line in answer.iter_lines():
            if line:
                name, _, value = line.partition(": ")
                event[name] = value
            elif event.get("event") == "end":
                return found
            elif event:
                found.append({**json.loads(event["data"]), "sse": (event.get("id"), event.get("event"))})
                event = {}
    raise AssertionError("the stream ended without saying so")


def test_a_run_is_submitted_followed_and_fetched(site: Site) -> None:
    with site.client() as client:
        body = {"task": "instant", "nonce": "over http", "budget": FEW}
        first, again = client.post("/v1/runs", json=body), client.post("/v1/runs", json=body)
        assert (first.status_code, again.status_code) == (201, 200)
        run = first.json()["run"]
        assert first.headers["location"] == f"/v1/runs/{run}" and again.json()["run"] == run
        told = ended(client, run)
        assert [one["sse"][1] for one in told][-1] == "RunFinished"
        assert [one["sse"][0] for one in told] == [str(i + 1) for i in range(len(told))]
        later = ended(client, run, **{"Last-Event-ID": "30"})
        assert [one["seq"] for one in later] == list(range(31, len(told) + 1))
        assert client.get(f"/v1/runs/{run}").json()["state"] == "done"
        result = client.get(f"/v1/runs/{run}/result").json()
        assert result["outcome"] == "done" and result["summary"]["hidden"] == 0.5
        file = client.get(f"/v1/runs/{run}/files/submission.csv")
        assert file.content == b"file" and file.headers["content-type"].startswith("text/csv")
        listed = client.get("/v1/runs", params={"limit": 1}).json()
        assert [one["run"] for one in listed["runs"]] == [run] and listed["next"] > 0
        assert client.get("/v1/runs", params={"after": listed["next"]}).json() == {"runs": [], "next": None}


def test_an_open_run_has_no_result_and_is_stopped(site: Site) -> None:
    with site.client() as client:
        run = client.post("/v1/runs", json={"task": "held", "nonce": "held over http", "budget": FEW}).json()["run"]
        assert client.get(f"/v1/runs/{run}/result").status_code == 409
        assert client.post(f"/v1/runs/{run}/stop", json={"reason": "enough"}).json()["said"] in ("asked", "withdrawn")
        ended(client, run)
        assert client.get(f"/v1/runs/{run}/result").json()["outcome"] == "stopped"


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("GET", "/v1/runs/acme-nothing", b"", 404),
        ("GET", "/v1/runs/..%2f..%2fsecrets", b"", 404),
        ("GET", "/v1/runs/*", b"", 404),
        ("GET", "/v1/runs/acme.x", b"", 404),
        ("GET", "/v1/nowhere", b"", 404),
        ("DELETE", "/v1/runs", b"", 405),
        ("POST", "/v1/runs", b"{", 422),
        ("POST", "/v1/runs", b"[]", 422),
        ("POST", "/v1/runs", b'{"task": "instant", "nonce": "short"}', 422),
        ("POST", "/v1/runs", b"x" * 200_000, 413),
        ("GET", "/v1/runs?limit=1000", b"", 422),
        ("GET", "/v1/runs?after=-1", b"", 422),
    ],
)
def test_what_cannot_be_is_a_problem_in_json(site: Site, method: str, path: str, body: bytes, status: int) -> None:
    with site.client() as client:
        answer = client.request(method, path, content=body)
    assert answer.status_code == status and answer.headers["content-type"] == "application/problem+json"
    told = answer.json()
    assert told["status"] == status and told["title"] and told["detail"] and "Traceback" not in told["detail"]


@pytest.mark.parametrize("authorization", ["", "Bearer", "Bearer gome-guessed", "Basic YTpi", "Bearer \xff"])
def test_without_a_token_of_a_tenant_nothing_is_said(site: Site, authorization: str) -> None:
    with site.client("") as client:
        headers = {"Authorization": authorization.encode("latin-1")} if authorization else {}
        answer = client.get("/v1/runs", headers=headers)  # type: ignore[arg-type]
    assert answer.status_code == 401 and answer.headers["www-authenticate"] == "Bearer"


def test_runs_of_another_tenant_are_unknown(site: Site) -> None:
    with site.client("acme") as acme, site.client("other") as other:
        run = acme.post("/v1/runs", json={"task": "instant", "nonce": "mine alone", "budget": FEW}).json()["run"]
        for path in ("", "/result", "/events", "/files/submission.csv"):
            assert other.get(f"/v1/runs/{run}{path}").status_code == 404
        assert other.post(f"/v1/runs/{run}/stop").status_code == 404
        assert run not in other.get("/v1/runs").text
        ended(acme, run)


def test_health_and_description_are_for_everybody_and_name_what_there_is(site: Site) -> None:
    with site.client("") as client:
        assert client.get("/health").json()["ok"] is True
        described = client.get("/openapi.json").json()
    assert described["openapi"] == "3.1.0"
    operations = {one["operationId"] for path in described["paths"].values() for one in path.values()}
    assert operations == {"submit", "list", "status", "result", "file", "stop", "events", "health"}
    submission = described["components"]["schemas"]["Submission"]
    assert submission["required"] == ["task", "nonce"] and submission["additionalProperties"] is False
    refs = set(re.findall(r'"#/components/schemas/(\w+)"', json.dumps(described)))
    assert refs <= set(described["components"]["schemas"])


def test_tokens_are_nowhere_in_what_a_service_writes(site: Site) -> None:
    said = "".join(path.read_text() for path in site.services.folder.glob("*.log"))
    assert not any(token in said for token in site.tokens.values())


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (("--http", "127.0.0.1:0"), "--tenants"),
        (("--http", "nowhere", "--tenants", "tenants.toml"), "HOST:PORT"),
        (("--tenants", "missing.toml"), "missing.toml"),
        (("--set", "guard.sedes=3"), "guard.sedes: there is no such setting; did you mean guard.seeds?"),
        (("--set", "performers.runner=elsewhere"), "performers.runner=elsewhere means nothing"),
        (("--grace", "nan"), "nan is no finite number"),
    ],
)
def test_a_service_that_cannot_begin_says_why_in_a_line(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    flags: tuple[str, ...],
    says: str,
) -> None:
    from gome.kernel.cli import main

    monkeypatch.chdir(tmp_path)
    (tmp_path / "tenants.toml").write_text("[tenants.a]\n")
    with pytest.raises(SystemExit) as ended:
        main(["serve", *flags])
    told = capsys.readouterr().err
    assert ended.value.code == 2 and says in told and told.count("\n") == 1


def test_without_the_extra_it_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from gome.kernel.cli import main

    monkeypatch.chdir(tmp_path)
    (tmp_path / "tenants.toml").write_text("[tenants.a]\n")
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    monkeypatch.delitem(sys.modules, "gome.kernel.service.http", raising=False)
    with pytest.raises(SystemExit) as ended:
        main(["serve", "--http", "127.0.0.1:0", "--tenants", "tenants.toml"])
    assert ended.value.code == 2 and "pip install 'gome[serve]'" in capsys.readouterr().err


def test_a_port_that_is_taken_ends_the_service_with_a_line(site: Site) -> None:
    command = [sys.executable, "-m", "gome.kernel.cli", "serve", "--http", site.url.removeprefix("http://")]
    done = subprocess.run(
        [*command, "--tenants", "tenants.toml"],
        cwd=site.services.folder,
        env=site.services.environment(GOME_HOME=str(site.services.folder / "second")),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2 and "Address already in use" in done.stderr and done.stderr.count("\n") == 1


def test_a_new_token_fits_its_digest_and_starts_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    from gome.kernel.cli import main

    with pytest.raises(SystemExit):
        main(["serve", "--new-token"])
    token, line = capsys.readouterr().out.splitlines()
    assert digest(token.split()[1]) in line
