"""One connection to a PostgreSQL server: statements out, rows in, each batch one transaction.

The client library connects (address, TLS, password) and reads rows; what is sent goes through its
interface to libpq in pipeline mode. The statements of a batch end with one synchronisation point,
which makes them one transaction without a word more; bells are rung behind it, in another one. What
may be seen early is committed without waiting for the disk, and a third one waits for it.
"""

from __future__ import annotations

import contextlib
import re
import select
from collections.abc import Iterable, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any

from penstock.engines.postgres_batch import Batch, Copy, Statement, in_schema, statement
from penstock.engines.postgres_errors import answered, lost
from penstock.engines.postgres_values import parameter
from penstock.errors import PenstockError, Uncertain

if TYPE_CHECKING:
    from psycopg import Connection
    from psycopg.pq.abc import PGconn, PGresult

__all__ = ["Line", "Ring"]

Ring = tuple[str, str]  # a channel and what is told there

_BINARY = 1
_PLACE = re.compile(rb"\$(\d+)")  # of a parameter
_RING = "SELECT pg_notify(:channel, :told)"
_RELAX, _STRICT = "SET synchronous_commit = off", "RESET synchronous_commit"
# A commit waits for the log up to its own end if it wrote some of it; who listens hears nothing.
_WAIT = "SELECT pg_logical_emit_message(true, 'penstock', '')"


class Line:
    """For one user at a time. After an error it is closed: what state it is in, nobody asks."""

    def __init__(
        self, connection: Connection[Any], *, schema: str, where: object, timeout: float
    ) -> None:
        from psycopg import OperationalError
        from psycopg.adapt import Transformer
        from psycopg.pq import ConnStatus, ExecStatus

        # Looked up once: an idle call reads two dozen results, and an enum costs as much as each.
        self._broken, self._bad = OperationalError, int(ConnStatus.BAD)
        self._point = int(ExecStatus.PIPELINE_SYNC)
        self._fine = frozenset({int(ExecStatus.TUPLES_OK), int(ExecStatus.COMMAND_OK)})
        self._connection = connection
        self._libpq: PGconn = connection.pgconn
        self._schema = schema
        self._where = where
        self._timeout = timeout * 1000
        self._prepared: dict[bytes, bytes] = {}
        self._expected: list[bool] = []  # of each reply: whether somebody wants its rows
        self._relaxed = False  # commits do not wait for the disk
        self._reader = Transformer(connection)
        self._poll = select.poll()
        self._poll.register(self._libpq.socket, select.POLLIN)
        self._libpq.nonblocking = 1

    def fileno(self) -> int:
        """The socket."""
        return self._libpq.socket

    @property
    def is_quiet(self) -> bool:
        """False when something lies there that nobody asked for: the end, as a rule."""
        return not self._poll.poll(0)

    def run(
        self, batch: Batch, *, durable: bool, rings: Sequence[Ring], early: bool = False
    ) -> list[Any]:
        """Carry a batch out; gives the rows of each of its statements.

        With ``early`` others see it and hear its bells while it is brought to disk.
        """
        try:
            if batch.copy is not None:
                self._copy(batch.copy, batch.commands, rings)
                return []
            return self._run(batch, durable=durable, rings=rings, early=early)
        except BaseException as error:
            self.close()
            from psycopg import Error

            if isinstance(error, Error):  # the connection ended while it was written to
                raise lost(str(error), self._where) from error
            raise

    def _run(self, batch: Batch, *, durable: bool, rings: Sequence[Ring], early: bool) -> list[Any]:
        libpq, self._expected = self._libpq, []
        libpq.enter_pipeline_mode()
        self._commit_later(not durable or early)
        for sql, values in batch.commands:
            self._send(statement(sql, self._schema), values)
        libpq.pipeline_sync()
        for channel, told in rings:
            values = {"channel": channel, "told": told}
            self._send(statement(_RING, self._schema), values, wanted=False)
        if rings:
            libpq.pipeline_sync()
        if early:
            self._commit_later(False)
            self._send(statement(_WAIT, self._schema), {}, wanted=False)
            libpq.pipeline_sync()
        rows = self._replies(1 + bool(rings) + early)
        libpq.exit_pipeline_mode()
        return rows

    def _commit_later(self, relaxed: bool) -> None:
        """Whether commits from here on wait for the disk."""
        if relaxed != self._relaxed:
            self._send(statement(_RELAX if relaxed else _STRICT, self._schema), {}, wanted=False)
            self._relaxed = relaxed

    def _send(self, told: Statement, values: dict[str, Any], *, wanted: bool = True) -> None:
        name = self._prepared.get(told.sql)
        if name is None:
            name = self._prepared[told.sql] = b"s%d" % len(self._prepared)
            self._libpq.send_prepare(name, told.sql)
            self._expected.append(False)
        data, formats = [], []
        for parameter_name in told.names:
            one, form = parameter(values[parameter_name])
            data.append(one)
            formats.append(form)
        self._libpq.send_query_prepared(name, data, formats, _BINARY)
        self._expected.append(wanted)

    # --- replies -------------------------------------------------------------------------

    def _replies(self, points: int) -> list[Any]:
        """The rows of what was sent, up to so many synchronisation points."""
        self._flush()
        wanted, rows, failure = iter(self._expected), [], None
        all_of_them = points
        while points:
            result = self._result()
            if result is None:  # the end of one statement's results
                self._check(failure)
                continue
            status = result.status
            if status == self._point:
                points -= 1
            elif status in self._fine:
                if next(wanted):
                    rows.append(self._rows(result))
            elif failure is None:
                failure = self._failure(result)
                if points < all_of_them:  # what was asked for is done
                    failure = Uncertain(f"it is stored, and telling so failed: {failure}")
        if failure is not None:
            raise failure
        return rows

    def _check(self, failure: PenstockError | None) -> None:
        """Raise if the connection has ended: then nothing more will come."""
        if self._libpq.status == self._bad:
            raise failure or lost(self._libpq.get_error_message(), self._where)

    def _rows(self, result: PGresult) -> list[tuple[Any, ...]]:
        count = result.ntuples
        if not count:
            return []
        self._reader.set_pgresult(result, format=_BINARY)  # type: ignore[arg-type]
        return self._reader.load_rows(0, count, tuple)

    def _failure(self, result: PGresult) -> PenstockError:
        from psycopg.pq import DiagnosticField

        state = (result.error_field(DiagnosticField.SQLSTATE) or b"").decode()
        text = (result.error_field(DiagnosticField.MESSAGE_PRIMARY) or b"").decode(
            "utf-8", "replace"
        )
        return answered(state, text or self._libpq.get_error_message(), self._where)

    def _result(self) -> PGresult | None:
        libpq = self._libpq
        try:
            while libpq.is_busy():
                self._await()
                libpq.consume_input()
        except self._broken as error:
            raise lost(str(error), self._where) from error
        return libpq.get_result()

    def _flush(self) -> None:
        """Write all of it; what the server says meanwhile is taken in, or both would wait."""
        libpq = self._libpq
        try:
            while libpq.flush():
                self._await(writing=True)
                libpq.consume_input()
        except self._broken as error:
            raise lost(str(error), self._where) from error

    def _await(self, *, writing: bool = False) -> None:
        poll = self._poll
        if writing:
            poll = select.poll()
            poll.register(self._libpq.socket, select.POLLIN | select.POLLOUT)
        if not poll.poll(self._timeout):
            raise lost(f"it said nothing for {self._timeout / 1000:g} s", self._where)

    # --- COPY ----------------------------------------------------------------------------

    def _copy(
        self, copy: Copy, commands: Sequence[tuple[str, dict[str, Any]]], rings: Sequence[Ring]
    ) -> None:
        """All of it as one text, around which the rows go: two round trips, as a bare COPY."""
        from psycopg.pq import ExecStatus

        words = [_STRICT] if self._relaxed else []
        words += ["BEGIN", copy.sql]
        text = [in_schema(word, self._schema).encode() for word in words]
        text += [self._written(sql, values) for sql, values in commands]
        text.append(b"COMMIT")
        text += [self._written(_RING, {"channel": one, "told": told}) for one, told in rings]
        self._relaxed = False
        self._libpq.send_query(b"; ".join(text))
        self._flush()
        rows = iter(copy.rows())
        first = next(rows, b"")  # while the server makes ready
        while (result := self._result()) is not None:
            if result.status == ExecStatus.COPY_IN:
                break
            if result.status == ExecStatus.FATAL_ERROR:
                raise self._failure(result)
        else:
            raise lost(self._libpq.get_error_message(), self._where)
        self._put(chain((first,), rows))
        while (result := self._result()) is not None:
            if result.status == ExecStatus.FATAL_ERROR:
                raise self._failure(result)
        self._check(None)

    def _put(self, pieces: Iterable[bytes]) -> None:
        libpq = self._libpq
        for data in pieces:
            while not libpq.put_copy_data(data):
                self._await(writing=True)
            self._flush()
        libpq.put_copy_end()
        self._flush()

    def _written(self, sql: str, values: dict[str, Any]) -> bytes:
        """A statement with its values written into it: for these there is no other place here."""
        from psycopg.pq import Escaping

        told, escape = statement(sql, self._schema), Escaping(self._libpq).escape_literal

        def literal(found: re.Match[bytes]) -> bytes:
            data, _ = parameter(values[told.names[int(found[1]) - 1]])
            return b"NULL" if data is None else bytes(escape(data))

        return _PLACE.sub(literal, told.sql)

    def close(self) -> None:
        """End it."""
        with contextlib.suppress(Exception):
            self._connection.close()

    def __repr__(self) -> str:
        return f"<line to {self._where}>"
