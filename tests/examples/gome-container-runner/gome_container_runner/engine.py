"""The command lines of docker and podman: what is asked of an engine, and the one line that starts an execution.

`Engine` is found once per process; an engine or image that is missing is a SandboxUnavailable that says what to do,
which ends the effect, since no further attempt would mend it.
"""

from __future__ import annotations

import shutil
import subprocess
import time
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from gome.kernel.errors import SandboxUnavailable
from gome.kernel.plugin import Check
from gome.plugins.runner.sandbox.custom import Job

GUARD = Path(__file__).with_name("guard.py")
GUARD_AT = "/gome/guard.py"
"""Where the guard lies inside the container."""
WORK = "/work"
ROOM_MB = 48
"""Memory of the guard on top of what the program may have."""
TASKS = 16384
"""Tasks that the program's user may have on this machine in all its containers; said because podman's own default, a
million, is more than it may set where it lacks CAP_SYS_RESOURCE. What binds an execution is `--pids-limit`."""
PATIENCE = 60
"""Seconds that an engine may take to answer a question, and a container to be gone."""


@dataclass(frozen=True)
class Engine:
    """An engine that answers: its command, whether it is podman, and whether it works without root's rights."""

    command: str
    podman: bool
    rootless: bool
    version: str

    def ask(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run one command of the engine to its end; raises SandboxUnavailable when it takes more than a minute."""
        try:
            return subprocess.run(
                [self.command, *arguments],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                check=False,
                timeout=PATIENCE,
            )
        except subprocess.TimeoutExpired:
            raise SandboxUnavailable(
                f"`{self.command} {arguments[0]}` did not answer within {PATIENCE} s: is its daemon well?"
            ) from None

    def remove(self, name: str) -> None:
        """Kill and remove a container, if there is one. Raises RuntimeError when it is still there afterwards."""
        until = time.monotonic() + PATIENCE
        # Containers are made with a stop time of 0, so that none is asked politely first. One that is ending by itself
        # just now can be removed a moment later only.
        while (removed := self.ask("rm", "--force", name)).returncode != 0:
            if self.ask("container", "inspect", name).returncode != 0:
                return
            if time.monotonic() > until:
                raise RuntimeError(f"{self.command} cannot remove the container {name}: {_last(removed.stderr)}")
            time.sleep(0.1)


@lru_cache(maxsize=8)
def find(command: str) -> Engine:
    """The engine behind a command; raises SandboxUnavailable when there is none or it does not answer."""
    path = shutil.which(command)
    if path is None:
        raise SandboxUnavailable(
            f"{command} is not installed, so programs get no container. Try: install docker or podman, or name the one "
            "you have: --set container.engine=podman"
        )
    podman = "podman" in Engine(path, False, False, "").ask("--version").stdout.lower()
    engine = Engine(path, podman, False, "")
    rootless = "{{.Host.Security.Rootless}}" if podman else "{{.SecurityOptions}}"
    version = "{{.Version.Version}}" if podman else "{{.ServerVersion}}"
    found = engine.ask("info", "--format", f"{version} {rootless}")
    told = found.stdout.strip()
    if found.returncode != 0 or not told:
        raise SandboxUnavailable(
            f"{command} is installed but does not answer ({_last(found.stderr)}). Try: start its daemon, and see that "
            f"`{command} info` works for the user that runs gome"
        )
    number, _, rights = told.partition(" ")
    return Engine(path, podman, "true" in rights or "rootless" in rights, number)


@lru_cache(maxsize=64)
def image_digest(engine: Engine, name: str) -> str:
    """The digest of an image, the same one for as long as this process lives; raises SandboxUnavailable for one that is
    not here."""
    if not name:
        raise SandboxUnavailable(
            "no image is named for programs to run in: set container.image in gome.toml, or --set container.image=NAME"
        )
    found = engine.ask("image", "inspect", "--format", "{{.Id}}", name)
    if found.returncode != 0:
        raise SandboxUnavailable(
            f"{engine.command} has no image {name!r} ({_last(found.stderr)}); nothing is fetched during a run. "
            f"Try: {engine.command} pull {name}, or build it"
        )
    digest = found.stdout.strip()
    return digest if ":" in digest else f"sha256:{digest}"


def command_line(engine: Engine, name: str, image: str, job: Job, *, python: str) -> list[str]:
    """The line that runs one execution in the foreground. `image` is a digest, `python` the command of the interpreter
    in it; the program runs as whoever owns its working folder. Standard input stays open as the guard's lifeline."""
    limits = job.limits
    # Docker without root's rights maps its own user, who owns the folder, to root inside.
    user = 0 if engine.rootless and not engine.podman else job.box.stat().st_uid
    memory = f"{limits.memory_mb + ROOM_MB}m"
    line = [engine.command, "run", "--rm", "--name", name, "--interactive", "--pull", "never", "--log-driver", "none"]
    line += ["--network", "none", "--hostname", "gome", "--read-only", "--workdir", WORK, "--stop-timeout", "0"]
    line += ["--cap-drop", "ALL", "--security-opt", "no-new-privileges", "--user", f"{user}:{user}"]
    # Podman can leave that user as it is.
    line += ["--userns", "keep-id"] if engine.podman and engine.rootless else []
    line += ["--memory", memory, "--memory-swap", memory, "--cpus", str(limits.cores)]
    line += ["--pids-limit", str(limits.processes + 1)]
    line += ["--ulimit", "nofile=4096:4096", "--ulimit", "core=0:0", "--ulimit", f"nproc={TASKS}:{TASKS}"]
    line += ["--ulimit", f"fsize={limits.disk_mb << 20}:{limits.disk_mb << 20}"]
    line += ["--tmpfs", f"/tmp:rw,nosuid,nodev,mode=1777,size={limits.disk_mb}m", "--shm-size", memory]
    line += ["--mount", f"type=bind,source={job.box},target={WORK}"]
    line += ["--mount", f"type=bind,source={job.inputs},target={WORK}/input,readonly"]
    line += ["--mount", f"type=bind,source={GUARD},target={GUARD_AT},readonly"]
    if job.gpu:
        line += ["--device", f"nvidia.com/gpu={job.gpu}"] if engine.podman else ["--gpus", f"device={job.gpu}"]
    for key, value in job.env.items():
        line += ["--env", f"{key}={value}"]
    return [*line, "--entrypoint", python, image, "-I", GUARD_AT]


def check() -> list[Check]:
    """Whether docker or podman is here and answers."""
    lines: list[Check] = []
    problems: list[str] = []
    for command in ("docker", "podman"):
        try:
            engine = find(command)
        except SandboxUnavailable as error:
            problems.append(str(error))
        else:
            answers = f"{engine.version} answers" + (", without root's rights" if engine.rootless else "")
            lines.append(Check(f"container engine {command}", True, answers))
    if lines:
        return lines
    told = [problem.partition(" Try: ")[::2] for problem in problems]
    return [Check("container engine", False, " ".join(what for what, _ in told), told[0][1])]


def _last(text: str) -> str:
    return (text.strip().splitlines() or ["it says nothing"])[-1][:300]
