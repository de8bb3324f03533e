"""compose.yaml holds together: what it names is there, nothing has a default password, everything has a health check.

No container engine is asked; the flows that it describes run on real processes in `tests/end_to_end/test_cluster.py`.
"""

from __future__ import annotations

import re
import shlex
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from gome.kernel.cli import gome
from tests.architecture.tree import ROOT, project

TEXT = (ROOT / "compose.yaml").read_text(encoding="utf-8")
FILE: dict[str, Any] = yaml.safe_load(TEXT)
SERVICES: dict[str, dict[str, Any]] = FILE["services"]
SERVERS = [name for name in SERVICES if name.startswith("nats-")]


def test_three_servers_have_a_name_and_a_store_each() -> None:
    assert len(SERVERS) == 3
    assert [SERVICES[name]["environment"]["GOME_SERVER_NAME"] for name in SERVERS] == SERVERS
    assert len({SERVICES[name]["volumes"][0] for name in SERVERS}) == 3
    assert all(f"nats://{name}:4222" in SERVICES["service"]["environment"]["GOME_NATS_URL"] for name in SERVERS)


def test_everything_that_is_referred_to_is_defined() -> None:
    for service in SERVICES.values():
        for kind in ("secrets", "networks"):
            assert set(service.get(kind, [])) <= set(FILE[kind])
        assert {one["source"] for one in service.get("configs", [])} <= set(FILE["configs"])
        named = {volume.split(":")[0] for volume in service.get("volumes", []) if not volume.startswith("/")}
        assert named <= set(FILE["volumes"])
        assert set(service.get("depends_on", {})) <= set(SERVICES)


def test_everything_has_a_health_check_and_comes_back() -> None:
    assert all(service["healthcheck"]["test"][0] == "CMD" for service in SERVICES.values())
    assert {service["restart"] for service in SERVICES.values()} == {"unless-stopped"}


def test_there_is_no_password_and_nothing_listens_on_all_addresses_by_default() -> None:
    known = {"GOME_SERVER_NAME", "GOME_NATS_URL", "GOME_ARTIFACTS", "GOME_SECRETS"}
    assert {name for service in SERVICES.values() for name in service["environment"]} == known
    assert "@" not in TEXT.split("name: gome")[1]
    for service in SERVICES.values():
        assert all(port.startswith("${GOME_BIND:-127.0.0.1}:") for port in service.get("ports", []))
    assert FILE["networks"]["inside"] == {"internal": True}
    assert SERVICES["worker"]["networks"] == SERVICES["worker-gpu"]["networks"] == ["inside"]


def test_a_worker_with_a_gpu_is_there_on_demand() -> None:
    worker = SERVICES["worker-gpu"]
    assert worker["profiles"] == ["gpu"]
    assert worker["deploy"]["resources"]["reservations"]["devices"][0]["capabilities"] == ["gpu"]


@pytest.mark.parametrize("name", ["service", "worker", "worker-gpu"])
def test_commands_and_extras_are_those_of_gome(name: str) -> None:
    verb, *flags = SERVICES[name]["command"]
    options = CliRunner().invoke(gome, [verb, "--help"]).output
    assert not [flag for flag in flags if flag.startswith("--") and flag not in options]
    build = SERVICES[name]["build"]
    dockerfile = ROOT / build["context"] / build["dockerfile"]
    extras = set(re.findall(r"EXTRAS=([\w,]+)", dockerfile.read_text())[0].split(","))
    extras |= set(build.get("args", {}).get("EXTRAS", "suite").split(","))
    assert extras <= set(project()["project"]["optional-dependencies"])


def test_the_image_is_made_without_passwords_and_tests() -> None:
    left = {line for line in (ROOT / "kernel/service/Dockerfile.dockerignore").read_text().splitlines() if line}
    assert {".*", "cluster", "tests"} <= left, "BuildKit reads what is named after the Dockerfile and lies beside it"


def test_the_commands_at_its_head_write_the_files_that_it_names(tmp_path: Any) -> None:
    head = TEXT.split("name: gome")[0].replace("\\\n", " ")
    line = next(line for line in head.splitlines() if "gome server config" in line).replace("#", " ")
    words = [word.replace("cluster/", f"{tmp_path}/") for word in shlex.split(line)[1:]]
    done = CliRunner().invoke(gome, words)
    assert done.exit_code == 0, done.output
    wanted = [one["file"] for kind in ("configs", "secrets") for one in FILE[kind].values()]
    written = {path.name for path in tmp_path.iterdir()} | {"tenants.toml"}
    assert {name.removeprefix("./cluster/") for name in wanted} <= written and "nats.env" in written
    conf = (tmp_path / "nats.conf").read_text()
    assert "server_name: $GOME_SERVER_NAME" in conf and '"gome.sub.*.*.*"' in conf
    routes = re.findall(r"GOME_ROUTE_\d=nats://cluster:\w+@(nats-\d):6222", (tmp_path / "nats.env").read_text())
    assert routes == SERVERS
