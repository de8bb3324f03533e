"""What people get wrong: one clear line (what, where, what to try), the right exit code, no traceback, nothing lost."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest

from tests import distribution
from tests.end_to_end.conftest import Terminal, Wait
from tests.kernel.nats_server import NatsServer

PRICE = ("--target", "price")


@contextlib.contextmanager
def served(folder: Path) -> Iterator[NatsServer]:
    """A server that is not gome's own."""
    server = NatsServer(folder)
    anyio.run(server.start)
    try:
        yield server
    finally:
        server.kill()


def refused(terminal: Terminal, code: int, *words: str, args: tuple[str, ...]) -> str:
    """The command ends with this code and one line that holds the words."""
    done = terminal.gome(*args)
    said = [line for line in done.stderr.splitlines() if line.startswith("gome: ")]
    assert done.returncode == code, done.stderr
    assert len(said) == 1, done.stderr
    assert "Traceback" not in done.stderr + done.stdout
    for word in words:
        assert word in said[0], said[0]
    return said[0]


def bad_table(folder: Path, name: str, text: str) -> str:
    (folder / name).write_text(text)
    return name


@pytest.mark.parametrize(
    ("option", "value", "named"),
    [
        ("--max-cost", "-1", "-1 money"),
        ("--max-cost", "nan", "nan money"),
        ("--max-tokens", "0", "0 tokens"),
        ("--time", "0", "0 seconds"),
    ],
)
def test_a_budget_that_allows_nothing_is_refused(terminal: Terminal, option: str, value: str, named: str) -> None:
    refused(terminal, 2, f"a budget of {named} allows nothing", args=("run", "ames", option, value))


@pytest.mark.parametrize("value", ["-1", str(2**70)])
@pytest.mark.parametrize(("option", "most"), [("--seed", 2**53), ("--split-seed", 2**32 - 1)])
def test_a_seed_that_is_none_is_refused_with_the_range(terminal: Terminal, option: str, most: int, value: str) -> None:
    refused(terminal, 2, f"seed {value} is out of range", f"from 0 to {most}", args=("run", "ames", option, value))


def test_a_table_that_is_not_there(terminal: Terminal) -> None:
    refused(terminal, 2, "nowhere.csv", args=("run", "nowhere.csv", *PRICE))


def test_a_task_that_nobody_knows_gets_a_near_name(terminal: Terminal) -> None:
    refused(terminal, 2, "did you mean ames", args=("run", "amess"))


def test_an_empty_table(terminal: Terminal) -> None:
    name = bad_table(terminal.folder, "empty.csv", "")
    refused(terminal, 2, "empty.csv", args=("run", name, *PRICE))


def test_a_malformed_table_is_named_with_its_line(terminal: Terminal) -> None:
    rows = "a,price\n" + "1,2\n" * 50 + "1,2,3,4\n" + "1,2\n" * 50
    refused(terminal, 2, "bad.csv", "52", args=("run", bad_table(terminal.folder, "bad.csv", rows), *PRICE))


def test_a_target_that_is_misspelt_gets_a_near_column(terminal: Terminal) -> None:
    refused(terminal, 2, "pric", "price", args=("run", "houses.csv", "--target", "pric"))


def test_a_target_with_one_class(terminal: Terminal) -> None:
    rows = "a,y\n" + "".join(f"{i},yes\n" for i in range(80))
    name = bad_table(terminal.folder, "one.csv", rows)
    refused(terminal, 2, "y", args=("run", name, "--target", "y"))


def test_a_test_table_with_missing_columns(terminal: Terminal) -> None:
    name = bad_table(terminal.folder, "test.csv", "size,rooms\n100,3\n90,2\n")
    refused(terminal, 2, "test.csv", "place", args=("run", "houses.csv", *PRICE, "--test", name))


def test_a_metric_that_does_not_fit_the_target(terminal: Terminal) -> None:
    refused(terminal, 2, "roc_auc", args=("run", "houses.csv", *PRICE, "--metric", "roc_auc"))


def test_an_unknown_metric(terminal: Terminal) -> None:
    refused(terminal, 2, "rmsee", args=("run", "houses.csv", *PRICE, "--metric", "rmsee"))


def test_a_folder_without_a_task_file(terminal: Terminal) -> None:
    (terminal.folder / "data").mkdir()
    refused(terminal, 2, "task.toml", args=("run", "./data"))


def test_a_malformed_task_file_is_named_with_its_line(terminal: Terminal) -> None:
    (terminal.folder / "data").mkdir()
    (terminal.folder / "data" / "task.toml").write_text('train = "a.csv"\ntarget = = 3\n')
    refused(terminal, 2, "task.toml", "2", args=("run", "./data"))


def test_an_unknown_plugin(terminal: Terminal) -> None:
    refused(terminal, 2, "clairvoyant", "playbook", args=("run", "houses.csv", *PRICE, "--reasoner", "clairvoyant"))


def test_a_plugin_that_fails_to_import(terminal: Terminal) -> None:
    site = terminal.folder / "site"
    distribution.install(site, "broken", {"gome.reasoners": {"broken": "broken_reasoner:plugin"}})
    (site / "broken_reasoner.py").write_text("import a_module_that_is_nowhere\n")
    env = {**os.environ, "PYTHONPATH": str(site)}

    def gome(*args: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "gome.kernel.cli", *args]
        return subprocess.run(command, cwd=terminal.folder, env=env, capture_output=True, text=True, check=False)

    done = gome("run", "houses.csv", *PRICE, "--reasoner", "broken")
    assert done.returncode == 2 and "a_module_that_is_nowhere" in done.stderr and "Traceback" not in done.stderr
    listed = gome("plugins")
    assert listed.returncode == 0 and "a_module_that_is_nowhere" in listed.stdout + listed.stderr


def test_a_setting_that_no_plugin_has(terminal: Terminal) -> None:
    refused(terminal, 2, "guard.enabledd", args=("run", "houses.csv", *PRICE, "--set", "guard.enabledd=false"))
    refused(terminal, 2, "nobody", args=("run", "houses.csv", *PRICE, "--set", "nobody.x=1"))


def test_a_profile_of_another_search(terminal: Terminal) -> None:
    args = ("run", "houses.csv", *PRICE, "--profile", "aide-released", "--search", "mlmaster")
    refused(terminal, 2, "aide-released (--profile)", "the search aide", "search is mlmaster", args=args)


def test_settings_that_no_run_could_go_by(terminal: Terminal) -> None:
    for setting in ("metrics.folds=1", "metrics.partitions=0", "guard.seeds=-1", "reruns.penalty=-1"):
        refused(terminal, 2, setting.partition("=")[0], ">=", args=("run", "houses.csv", *PRICE, "--set", setting))


def test_a_fallback_that_is_not_there(terminal: Terminal) -> None:
    refused(terminal, 2, "no reasoner called nobody", args=("run", "houses.csv", *PRICE, "--fallback", "nobody"))


def test_a_place_for_results_that_is_a_file_is_refused_before_the_run(terminal: Terminal) -> None:
    args = ("run", "houses.csv", *PRICE, "--out", "houses.csv/x")
    refused(terminal, 2, "houses.csv is a file", "--out", args=args)
    refused(terminal, 2, "houses.csv is a file", args=(*args, "--dry-run"))
    assert terminal.lines("runs") == []


def test_a_dry_run_refuses_an_id_that_no_run_can_have(terminal: Terminal) -> None:
    refused(terminal, 2, "run id 'a b'", args=("run", "houses.csv", *PRICE, "--run", "a b", "--dry-run"))


def test_a_time_that_is_none(terminal: Terminal) -> None:
    refused(terminal, 2, "soon", args=("run", "houses.csv", *PRICE, "--time", "soon"))


def test_a_run_that_does_not_exist(terminal: Terminal) -> None:
    for args in (("show", "ghost"), ("verify", "ghost"), ("tail", "ghost"), ("run", "--resume", "ghost")):
        refused(terminal, 2, "ghost", args=args)


def test_a_server_that_refuses(terminal: Terminal) -> None:
    refused(terminal, 3, "127.0.0.1:9", args=("runs", "--nats", "nats://127.0.0.1:9"))


def test_a_wrong_token_is_an_error_that_does_not_show_it(tmp_path: Path) -> None:
    with served(tmp_path / "nats") as server:
        env = {**os.environ, "GOME_NATS_TOKEN": "not-the-token-at-all"}
        command = [sys.executable, "-m", "gome.kernel.cli", "runs", "--nats", server.url]
        done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 3 and "token" in done.stderr
    assert "not-the-token-at-all" not in done.stderr and "Traceback" not in done.stderr


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("unshare"), reason="mounting a small disk needs root")
def test_a_full_disk_stops_the_run_with_one_line_and_what_was_recorded_is_there(terminal: Terminal) -> None:
    home = terminal.folder / "small"
    home.mkdir()
    gome = f"{sys.executable} -m gome.kernel.cli"
    script = (
        f"mount -t tmpfs -o size=24m tmpfs {home}; export GOME_HOME={home}; {gome} runs; "
        f"head -c 24000K /dev/zero > {home}/ballast; "  # room for half of what the run writes
        f"{gome} run houses.csv --target price --steps 2 --run full; echo ended $?; rm {home}/ballast; "
        f"{gome} run --resume full --json | tail -n 1; {gome} verify full"
    )
    command = ["unshare", "-m", "bash", "-c", script]
    done = subprocess.run(command, cwd=terminal.folder, capture_output=True, text=True, timeout=240, check=False)
    assert "Traceback" not in done.stderr
    assert "ended 3" in done.stdout and f"the disk under {home} is full" in done.stderr
    assert '"outcome":"done"' in done.stdout and "verified" in done.stdout, done.stderr


@pytest.mark.slow
def test_a_run_on_a_server_that_dies_says_so_and_can_be_resumed(terminal: Terminal, wait_for: Wait) -> None:
    folder = terminal.folder
    with served(folder / "nats") as server:
        env = {**os.environ, "GOME_NATS_TOKEN": server.token, "GOME_HOME": str(folder / "home")}
        base = [sys.executable, "-m", "gome.kernel.cli", "run"]
        where = ["--nats", server.url]
        run = [*base, "houses.csv", *PRICE, "--steps", "2", "--run", "r", *where]
        process = subprocess.Popen(run, cwd=folder, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        wait_for(process, "accepted")
        server.kill()
        _, err = process.communicate(timeout=120)
        assert process.returncode == 3 and "Traceback" not in err
        assert "gome: " in err
        anyio.run(server.restart)
        again = subprocess.run(
            [*base, "--resume", "r", *where],
            cwd=folder,
            env=env,
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )
        assert again.returncode == 0, again.stderr
