"""Looks for leaks in a prepared task: what would make its scores better than the truth.

`check` runs every check in a few seconds on one thread and never reads the answers. Light to import; the checks are in
`order.py`, `twins.py`, `giveaway.py` and `sides.py`.
"""

from __future__ import annotations

from gome.kernel.tasks import Finding, PreparedTask

LEVELS = ("leak", "warning", "info")


def check(prepared: PreparedTask) -> list[Finding]:
    """Return what was found, leaks first. Works on samples of large tables; deterministic."""
    from threadpoolctl import threadpool_limits

    from gome.plugins.tasks.check.giveaway import check_giveaway
    from gome.plugins.tasks.check.order import check_order
    from gome.plugins.tasks.check.sample import read
    from gome.plugins.tasks.check.sides import check_drift, check_groups, check_time
    from gome.plugins.tasks.check.twins import check_twins

    sample = read(prepared)
    found: list[Finding] = []
    with threadpool_limits(1):  # a check runs beside other work: threads that wait by spinning would stall it
        for look in (check_order, check_twins, check_giveaway, check_drift, check_groups, check_time):
            found += look(sample)
    return sorted(found, key=lambda finding: LEVELS.index(finding.level))
