"""Where submissions are kept: a stream with two subjects per run, `gome.sub.<tenant>.<run>.submitted` and `.ended`.

One record makes a submission durable and puts it in the queue at once: consumers of the `submitted` subjects are the
queue (`claims`), and what they have acknowledged is what has ended. Appends are compare-and-swap on everything of the
tenant, so quotas hold exactly, however many services take submissions at once. The account of a tenant (what is not
ended, what all has cost) is a fold of its records that every service keeps for itself, with a cursor; it is as large as
what is not ended.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import msgspec

from gome.events import Budget
from gome.kernel.answers import ApiError, Unanswered, compression, parse
from gome.kernel.errors import LogDamaged, LogUnreachable
from gome.kernel.log_batches import SMALLEST_BATCH, Where, fetch
from gome.kernel.service.problems import Refused
from gome.kernel.service.submission import NOTHING, Ended, Entry, Spent, Submission, Submitted, run_of, same_request
from gome.kernel.service.tenants import Tenant

if TYPE_CHECKING:
    from gome.kernel.jetstream import Connection

STREAM = "GOME_SUBMISSIONS"
PREFIX = "gome.sub"
WAKE = "gome.service.wake"
"""Where services tell each other that there is something to claim; who misses it looks by itself."""
PAGE = 100
"""Submissions that are listed at once, at most."""
_WRONG_LAST = (10071, 10164)
_EXISTS = 10058
_record = msgspec.json.Decoder(Submitted | Ended)


@dataclass
class Account:
    """What a tenant has not ended, with the budgets that are reserved for it, and what its ended runs have cost;
    `position` is how far its records are folded."""

    position: int = 0
    open: dict[str, Budget] = field(default_factory=dict)
    spent: Spent = NOTHING

    def apply(self, record: Submitted | Ended, position: int) -> None:
        """Fold the next record."""
        self.position = position
        if isinstance(record, Submitted):
            self.open[record.run] = record.submission.budget
        elif self.open.pop(record.run, None) is not None:
            self.spent = self.spent.plus(record.spent)

    def check(self, tenant: Tenant, wanted: Budget) -> None:
        """Raise `Refused` (429) when one more run of this budget is more than the tenant's quotas allow, (422) when it
        names no limit where the tenant has one."""
        if len(self.open) >= tenant.queued:
            raise Refused(
                429, f"{len(self.open)} runs of {tenant.name} wait or are open, and no more may: wait for one"
            )
        for name in tenant.budget.__struct_fields__:
            allowed = getattr(tenant.budget, name)
            if allowed is None:
                continue
            asked = getattr(wanted, name)
            if asked is None:
                raise Refused(422, f"tenant {tenant.name} has a budget of {name}: say how much of it the run may use")
            held = sum(getattr(budget, name) or 0 for budget in self.open.values())
            left = allowed - getattr(self.spent, name) - held
            if asked > left:
                raise Refused(
                    429, f"{asked:g} {name} are asked for and {max(left, 0):g} of {allowed:g} are left to {tenant.name}"
                )


class Submissions:
    """The stream, as one service sees it. `clock` gives seconds since 1970."""

    def __init__(self, connection: Connection, clock: Callable[[], float]) -> None:
        self._connection = connection
        self._clock = clock
        self._accounts: dict[str, Account] = {}
        self._locks: dict[str, asyncio.Lock] = {}
        self._prepared = False

    async def prepare(self) -> None:
        """Make the stream unless it is there."""
        if self._prepared:
            return
        config = {
            "name": STREAM,
            "subjects": [f"{PREFIX}.*.*.*"],
            "storage": "file",
            "retention": "limits",
            "discard": "new",
            "compression": compression(self._connection.replicas),
            "max_msgs_per_subject": 1,
            "discard_new_per_subject": True,
            "deny_delete": True,
            "deny_purge": True,
            "allow_direct": True,
            "num_replicas": self._connection.replicas,
        }
        try:
            await self._connection.widen(await self._connection.api(f"STREAM.INFO.{STREAM}"))
        except ApiError as error:
            if error.status != 404:
                raise LogUnreachable(f"submissions at {self._connection.where} cannot be used: {error}") from error
            try:
                await self._connection.create(config)
            except ApiError as refusal:
                if refusal.code != _EXISTS:
                    where = self._connection.where
                    raise LogUnreachable(f"submissions cannot be kept at {where}: {refusal}") from refusal
        self._prepared = True

    async def submit(self, tenant: Tenant, submission: Submission) -> tuple[Entry, bool]:
        """Take a submission; returns it, and whether it is new: the same nonce again returns the first one. Raises
        `Refused` for another request under a nonce that was used (409), and for quotas (429)."""
        run = run_of(tenant.name, submission.nonce)
        return await self.put(tenant, Submitted(run, tenant.name, self._clock(), submission))

    async def put(self, tenant: Tenant, record: Submitted) -> tuple[Entry, bool]:
        """The same for a submission whose run has an id of its own."""
        run, submission = record.run, record.submission
        async with self._lock(tenant.name):
            while True:
                account = await self.account(tenant.name)
                if (known := await self.find(tenant.name, run)) is not None:
                    if not same_request(known.submitted.submission, submission):
                        raise Refused(
                            409, f"run {run} was submitted under this nonce with another request; use a new nonce"
                        )
                    return known, False
                account.check(tenant, submission.budget)
                if position := await self._append(record, "submitted", account.position):
                    account.apply(record, position)
                    await self.wake()
                    return Entry(record, None, position), True

    async def end(self, ended: Ended) -> bool:
        """Record how a submission ended, unless that has been said; returns whether this was it."""
        async with self._lock(ended.tenant):
            while True:
                account = await self.account(ended.tenant)
                if ended.run not in account.open:
                    return False
                if position := await self._append(ended, "ended", account.position):
                    account.apply(ended, position)
                    return True

    async def find(self, tenant: str, run: str) -> Entry | None:
        """A submission of a tenant, None when it has none of this id."""
        await self.prepare()
        position, record = await self._last(f"{PREFIX}.{tenant}.{run}.submitted")
        if not isinstance(record, Submitted):
            return None
        _, ended = await self._last(f"{PREFIX}.{tenant}.{run}.ended")
        return Entry(record, ended if isinstance(ended, Ended) else None, position)

    async def page(self, tenant: str, after: int, limit: int) -> list[Entry]:
        """At most `limit` (1 to `PAGE`) submissions of a tenant in their order, those after a position."""
        await self.prepare()
        subjects = f"{PREFIX}.{tenant}.*.submitted"
        last, _ = await self._last(subjects)
        found: list[tuple[int, Submitted]] = []
        if last > after:
            async with aclosing(
                fetch(self._connection, self._where(subjects), after + 1, last, SMALLEST_BATCH)
            ) as records:
                async for position, stored, _ in records:
                    record = _record.decode(stored)
                    assert isinstance(record, Submitted)
                    found.append((position, record))
                    if len(found) == limit:
                        break
        ends = await asyncio.gather(*(self._last(f"{PREFIX}.{tenant}.{record.run}.ended") for _, record in found))
        return [
            Entry(record, end if isinstance(end, Ended) else None, position)
            for (position, record), (_, end) in zip(found, ends, strict=True)
        ]

    async def account(self, tenant: str) -> Account:
        """The account of a tenant, up to date."""
        await self.prepare()
        account = self._accounts.setdefault(tenant, Account())
        subjects = f"{PREFIX}.{tenant}.>"
        last, _ = await self._last(subjects)
        if last > account.position:
            async with aclosing(fetch(self._connection, self._where(subjects), account.position + 1, last)) as records:
                async for position, stored, _ in records:
                    if position > account.position:
                        account.apply(_record.decode(stored), position)
        return account

    async def wake(self) -> None:
        """Tell all services that there is something to claim."""
        await self._connection.send(WAKE)

    def _lock(self, tenant: str) -> asyncio.Lock:
        return self._locks.setdefault(tenant, asyncio.Lock())

    def _where(self, subjects: str) -> Where:
        return Where(subjects, STREAM, subjects, f"{self._connection.where} (stream {STREAM})")

    async def _append(self, record: Submitted | Ended, kind: str, position: int) -> int:
        """Append behind a position of the tenant's records; 0 when that is not their end any more, or nobody knows."""
        headers = {
            "Nats-Expected-Last-Subject-Sequence": str(position),
            "Nats-Expected-Last-Subject-Sequence-Subject": f"{PREFIX}.{record.tenant}.>",
        }
        subject = f"{PREFIX}.{record.tenant}.{record.run}.{kind}"
        try:
            answer = parse(await self._connection.request(subject, msgspec.json.encode(record), headers))
        except Unanswered:
            return 0
        except ApiError as error:
            if error.code in _WRONG_LAST or error.status == 503:
                await asyncio.sleep(0.005)
                return 0
            raise LogUnreachable(f"{self._connection.where} does not take a submission: {error}") from error
        return int(answer["seq"])

    async def _last(self, subjects: str) -> tuple[int, Submitted | Ended | None]:
        """Position and record of the last message on some subjects, as the leader knows it; (0, None) without one."""
        try:
            answer = await self._connection.api(f"STREAM.MSG.GET.{STREAM}", {"last_by_subj": subjects})
        except ApiError as error:
            if error.status == 404:
                return 0, None
            raise LogUnreachable(f"submissions at {self._connection.where} cannot be read: {error}") from error
        message = answer["message"]
        try:
            return int(message["seq"]), _record.decode(base64.b64decode(message.get("data", "")))
        except msgspec.MsgspecError as error:
            raise LogDamaged(f"record {message['seq']} of {STREAM} is damaged: {error}") from error
