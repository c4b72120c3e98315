"""Requests for batch scores: who asked for which days, how far each is, and whose turn it is to score it.

Kept through SQLAlchemy in the platform's small state, so that any process may ask, look, or take one up. One
process has a request at a time: it holds a lease that it renews, and a request whose lease ran out is taken
up by another. It must not score, and must not import what does: a service that waits stays small.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Literal, NamedTuple

import msgspec
import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from mlplatform.crosscutting.clock import utc_now
from mlplatform.errors import NotFound, RequestError, StoreError
from mlplatform.stores.relational import Database, UtcDateTime

State = Literal["queued", "running", "done", "failed"]
LEASE = timedelta(seconds=30)
"""How long a request belongs to a process that says nothing."""
MOST_ATTEMPTS = 3
"""Processes that may end over one request before it has failed."""

_METADATA = sa.MetaData()
REQUESTS = sa.Table(
    "batch_score_requests",
    _METADATA,
    sa.Column("id", sa.String(32), primary_key=True),
    sa.Column("key", sa.String(200), unique=True, nullable=True),
    sa.Column("use_case", sa.String(200), nullable=False),
    sa.Column("first", sa.String(10), nullable=False),
    sa.Column("last", sa.String(10), nullable=False),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("model", sa.String(200), nullable=False),
    sa.Column("callback", sa.String(2000), nullable=True),
    sa.Column("state", sa.String(10), nullable=False, index=True),
    sa.Column("days_done", sa.Integer, nullable=False),
    sa.Column("days", sa.Integer, nullable=True),
    sa.Column("rows_done", sa.Integer, nullable=False),
    sa.Column("rows", sa.Integer, nullable=True),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("owner", sa.String(200), nullable=True),
    sa.Column("lease_until", UtcDateTime, nullable=True),
    sa.Column("asked_at", UtcDateTime, nullable=False),
    sa.Column("started_at", UtcDateTime, nullable=True),
    sa.Column("ended_at", UtcDateTime, nullable=True),
    sa.Column("error", sa.Text, nullable=False),
    sa.Column("called_back", sa.Boolean, nullable=False),
)
DAYS = sa.Table(
    "batch_score_days",
    _METADATA,
    sa.Column("request", sa.String(32), primary_key=True),
    sa.Column("day", sa.String(10), primary_key=True),
    sa.Column("rows", sa.Integer, nullable=False),
    sa.Column("announced", sa.Boolean, nullable=False, index=True),
)


class BatchRequest(msgspec.Struct, frozen=True, kw_only=True):
    """One request as it stands; times are UTC."""

    id: str
    key: str | None
    """What tells a request that is sent twice from two requests."""
    use_case: str
    first: str
    last: str
    """Days (YYYY-MM-DD), both included."""
    version: int
    """Number of the release that scores; it was the champion's when asked, unless another was named."""
    model: str
    callback: str | None
    """URL that is told of the end."""
    state: State = "queued"
    days_done: int = 0
    days: int | None = None
    """Days that have questions; None before they are counted."""
    rows_done: int = 0
    rows: int | None = None
    attempts: int = 0
    """Processes that took it up."""
    owner: str | None = None
    lease_until: datetime | None = None
    asked_at: datetime
    started_at: datetime | None = None
    ended_at: datetime | None = None
    error: str = ""
    called_back: bool = False

    @property
    def ended(self) -> bool:
        """Whether nothing more will happen to it."""
        return self.state in ("done", "failed")


class ScoredDay(NamedTuple):
    """A committed day that was not announced yet."""

    request: BatchRequest
    day: str
    rows: int


class BatchRequests:
    """The requests at a SQLAlchemy URL; opening creates their tables.

    Parameters
    ----------
    clock : gives the time in UTC.

    Raises
    ------
    ConfigurationError
        if the URL is none, or no driver for it is installed.
    StoreError
        if the database cannot be reached; as every method.
    """

    def __init__(self, url: str, *, clock: Callable[[], datetime] = utc_now) -> None:
        self._database, self._clock = Database(url, "batch score requests"), clock
        self._database.create([REQUESTS, DAYS])

    def close(self) -> None:
        """Give the connections back."""
        self._database.close()

    # asking and looking

    def add(self, request: BatchRequest) -> BatchRequest:
        """Queue a request; the earlier one, as it stands, where one with the same key asks for the same.

        Raises
        ------
        RequestError
            409 if the one with the same key asks for something else.
        """
        try:
            self._write(sa.insert(REQUESTS).values(**msgspec.structs.asdict(request)))
            return request
        except IntegrityError:
            found = self._find(REQUESTS.c.key == request.key)
        earlier = found[0]
        same = ("use_case", "first", "last", "callback")
        if any(getattr(earlier, name) != getattr(request, name) for name in same):
            raise RequestError(
                f"the key {request.key!r} was given with another request, {earlier.id}.",
                status=409,
                hint="A key names one request; take a new one for a new request.",
            )
        return earlier

    def get(self, id: str) -> BatchRequest:
        """The request; NotFound if there is none."""
        found = self._find(REQUESTS.c.id == id)
        if not found:
            raise NotFound(
                f"there is no request {id[:100]!r} for batch scores.",
                hint="`mlplatform batch-scores` lists them.",
            )
        return found[0]

    def newest(self, limit: int = 100, use_case: str | None = None) -> list[BatchRequest]:
        """The requests (of one use case), the newest first."""
        where = sa.true() if use_case is None else REQUESTS.c.use_case == use_case
        query = sa.select(REQUESTS).where(where).order_by(REQUESTS.c.asked_at.desc(), REQUESTS.c.id)
        return self._read(query.limit(limit))

    # scoring

    def claim(self, owner: str, id: str | None = None) -> BatchRequest | None:
        """Take up the oldest request (or that one) whose turn it is; None if there is none.

        One that was given up by MOST_ATTEMPTS processes has failed.
        """
        wanted = sa.true() if id is None else REQUESTS.c.id == id
        due = sa.select(REQUESTS).where(wanted, self._due()).order_by(REQUESTS.c.asked_at, REQUESTS.c.id)
        for request in self._read(due):
            if request.attempts >= MOST_ATTEMPTS:
                said = request.error or "the process that scored ended without a word"
                self._end(request, "failed", f"given up after {request.attempts} attempts: {said}")
                continue
            taken = {
                "state": "running",
                "owner": owner,
                "lease_until": self._clock() + LEASE,
                "attempts": request.attempts + 1,
                "started_at": request.started_at or self._clock(),
            }
            where = (REQUESTS.c.id == request.id, self._due(), REQUESTS.c.attempts == request.attempts)
            if self._write(sa.update(REQUESTS).where(*where).values(**taken)):
                return self.get(request.id)
        return None

    def renew(self, id: str, owner: str) -> None:
        """Keep the request for another LEASE; StoreError if it is another's now."""
        self._own(id, owner, lease_until=self._clock() + LEASE)

    def counted(self, id: str, owner: str, days: int, rows: int) -> None:
        """Note how much there is to do."""
        self._own(id, owner, days=days, rows=rows)

    def committed(self, id: str, owner: str, rows: Mapping[str, int]) -> None:
        """Note that these days are in the lake; noted twice, they count once.

        Raises
        ------
        StoreError
            if the request is another's now.
        """

        def note() -> None:
            with self._database.engine.begin() as connection:
                self._check(connection.execute(_of(id, owner).values(lease_until=self._clock() + LEASE)), id)
                known = set(connection.scalars(sa.select(DAYS.c.day).where(DAYS.c.request == id)))
                new = [
                    {"request": id, "day": day, "rows": count, "announced": False}
                    for day, count in rows.items()
                    if day not in known
                ]
                if new:
                    connection.execute(sa.insert(DAYS), new)
                done = sa.select(sa.func.count(), sa.func.sum(DAYS.c.rows)).where(DAYS.c.request == id)
                days, total = connection.execute(done).one()
                connection.execute(_of(id, owner).values(days_done=days, rows_done=total or 0))

        self._database.run(note)

    def days_done(self, id: str) -> set[str]:
        """The days of a request that are in the lake."""
        query = sa.select(DAYS.c.day).where(DAYS.c.request == id)

        def read() -> set[str]:
            with self._database.engine.connect() as connection:
                return set(connection.scalars(query))

        return self._database.run(read)

    def done(self, id: str, owner: str) -> None:
        """It is over, and all went well."""
        self._own(id, owner, state="done", ended_at=self._clock(), lease_until=None, error="")

    def failed(self, id: str, owner: str, error: str) -> None:
        """It is over: trying again would fail again."""
        self._own(id, owner, state="failed", ended_at=self._clock(), lease_until=None, error=error)

    def given_back(self, id: str, owner: str, error: str = "", *, counts: bool = True) -> bool:
        """Let another process try, if it is still the owner's; an attempt that does not count is free."""
        values: dict[str, Any] = {"state": "queued", "owner": None, "lease_until": None}
        values |= {"error": error} if error else {}
        values |= {} if counts else {"attempts": REQUESTS.c.attempts - 1}
        return bool(self._write(_of(id, owner).values(**values)))

    # telling

    def unannounced(self, limit: int = 500) -> list[ScoredDay]:
        """Committed days that no message told of yet."""
        query = (
            sa.select(DAYS.c.request, DAYS.c.day, DAYS.c.rows)
            .where(DAYS.c.announced == sa.false())
            .order_by(DAYS.c.request, DAYS.c.day)
            .limit(limit)
        )

        def read() -> list[tuple[str, str, int]]:
            with self._database.engine.connect() as connection:
                return [(request, day, rows) for request, day, rows in connection.execute(query)]

        found = self._database.run(read)
        requests = {id: self.get(id) for id in {id for id, _, _ in found}}
        return [ScoredDay(requests[id], day, rows) for id, day, rows in found]

    def announced(self, days: Sequence[ScoredDay]) -> None:
        """Messages told of these days."""
        for id in {each.request.id for each in days}:
            told = [each.day for each in days if each.request.id == id]
            where = (DAYS.c.request == id, DAYS.c.day.in_(told))
            self._write(sa.update(DAYS).where(*where).values(announced=True))

    def to_call_back(self) -> list[BatchRequest]:
        """Requests that ended, and whose callback was not told yet."""
        where = (REQUESTS.c.callback.is_not(None), REQUESTS.c.called_back == sa.false())
        return self._read(sa.select(REQUESTS).where(*where, REQUESTS.c.state.in_(("done", "failed"))))

    def called_back(self, id: str) -> None:
        """The callback was told, or never will be."""
        self._write(sa.update(REQUESTS).where(REQUESTS.c.id == id).values(called_back=True))

    # the database

    def _due(self) -> sa.ColumnElement[bool]:
        left = sa.and_(REQUESTS.c.state == "running", REQUESTS.c.lease_until < self._clock())
        return sa.or_(REQUESTS.c.state == "queued", left)

    def _end(self, request: BatchRequest, state: State, error: str) -> None:
        where = (REQUESTS.c.id == request.id, self._due(), REQUESTS.c.attempts == request.attempts)
        ended = {"state": state, "error": error, "ended_at": self._clock(), "lease_until": None}
        self._write(sa.update(REQUESTS).where(*where).values(**ended))

    def _own(self, id: str, owner: str, **values: Any) -> None:
        if not self._write(_of(id, owner).values(**values)):
            raise _lost(id)

    def _check(self, result: sa.CursorResult[Any], id: str) -> None:
        if not result.rowcount:
            raise _lost(id)

    def _find(self, where: sa.ColumnElement[bool]) -> list[BatchRequest]:
        return self._read(sa.select(REQUESTS).where(where))

    def _read(self, query: sa.Select[Any]) -> list[BatchRequest]:
        def read() -> list[BatchRequest]:
            with self._database.engine.connect() as connection:
                return [BatchRequest(**row) for row in connection.execute(query).mappings()]

        return self._database.run(read)

    def _write(self, statement: sa.Insert | sa.Update) -> int:
        """Number of rows written."""

        def write() -> int | IntegrityError:
            try:
                with self._database.engine.begin() as connection:
                    return connection.execute(statement).rowcount
            except IntegrityError as error:
                return error

        found = self._database.run(write)
        if isinstance(found, IntegrityError):
            raise found
        return found


def _of(id: str, owner: str) -> sa.Update:
    """A change to a request that the owner has."""
    where = (REQUESTS.c.id == id, REQUESTS.c.owner == owner, REQUESTS.c.state == "running")
    return sa.update(REQUESTS).where(*where)


def _lost(id: str) -> StoreError:
    return StoreError(
        f"request {id} is another process's now.",
        hint="It was silent for longer than its lease; the other one goes on where it was.",
    )
