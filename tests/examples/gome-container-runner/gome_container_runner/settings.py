"""The runner's table in a run's settings (`[container]`)."""

from __future__ import annotations

from msgspec import Struct


class ContainerSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """`image` is what programs run in, with a Python that has the libraries they import; it must be here already, for
    nothing is pulled during a run. `engine` is the command of docker or podman, or a path to one; `interpreter` the
    command of Python in the image. The rest means what it means in `[sandbox]`.
    """

    image: str = ""
    engine: str = "docker"
    interpreter: str = "python"
    seconds: float = 600.0
    debug_seconds: float = 120.0
    allow_longer: bool = False
    cores: int = 1
    memory_mb: int = 4096
    disk_mb: int = 1024
    processes: int = 256
    gpus: int = 0
    debug_share: float = 0.1
    debug_rows: int = 2000
    debug_per_class: int = 10
    output_kb: int = 64
    stream_mb: int = 16
    keep: bool = False
