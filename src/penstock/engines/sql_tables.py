"""The tables of the result store in a database: Celery's two as Celery 5 makes them, and ours.

============================ ==========================================================
``celery_taskmeta``          Celery's: state and result of each task
``celery_tasksetmeta``       Celery's: saved groups; made so that its clients find it
``penstock_results``         beside a row of the first: which run wrote it, until when it
                             is kept, and what Celery's columns cannot say of it
``penstock_arrivals``        who of a group has ended; the row of member '' is the group
============================ ==========================================================
"""

from __future__ import annotations

from collections.abc import Container
from typing import TYPE_CHECKING, Any, NamedTuple

from penstock.errors import ConfigError

if TYPE_CHECKING:
    import sqlalchemy as sa

__all__ = ["EXTENDED", "ID_LENGTH", "Tables", "make_tables", "prepared"]

ID_LENGTH = 155  # of a task id, in Celery's table
_LARGE = 2**32 - 1  # bytes: on MySQL a blob without a length ends at 64 KB
_REQUIRED = {
    "celery_taskmeta": {"task_id", "status", "result", "date_done", "traceback"},
    "celery_tasksetmeta": {"taskset_id", "result"},
}
EXTENDED = ("children", "name", "args", "kwargs", "worker", "retries", "queue", "stamps")
_SEQUENCES = ("task_id_sequence", "taskset_id_sequence")
_TRIES = 5  # of making tables, while others make them


class Tables(NamedTuple):
    """The four tables; ``tasks`` has those columns that the database's table has."""

    tasks: sa.Table
    groups: sa.Table
    results: sa.Table
    arrivals: sa.Table


def make_tables(
    present: Container[str] | None = None, *, sequences: Container[str] | None = None
) -> Tables:
    """Their definitions, as Celery makes its own.

    Of existing ones ``present`` names the columns of ``celery_taskmeta``, and ``sequences`` where
    the numbers of rows come from; without a sequence the database numbers them by itself.
    """
    import sqlalchemy as sa

    metadata = sa.MetaData()
    large = sa.LargeBinary().with_variant(sa.LargeBinary(_LARGE), "mysql", "mariadb")
    text = sa.Text().with_variant(sa.Text(2**24 - 1), "mysql", "mariadb")

    def number(name: str) -> sa.Column[int]:
        numbered = [sa.Sequence(name)] if sequences is None or name in sequences else []
        return sa.Column("id", sa.Integer, *numbered, primary_key=True, autoincrement=True)

    columns: list[sa.Column[Any]] = [
        sa.Column("task_id", sa.String(ID_LENGTH), unique=True),
        sa.Column("status", sa.String(50)),
        sa.Column("result", large, nullable=True),
        sa.Column("date_done", sa.DateTime, nullable=True, index=True),
        sa.Column("traceback", text, nullable=True),
        sa.Column("children", large, nullable=True),
        sa.Column("name", sa.String(155), nullable=True),
        sa.Column("args", large, nullable=True),
        sa.Column("kwargs", large, nullable=True),
        sa.Column("worker", sa.String(155), nullable=True),
        sa.Column("retries", sa.Integer, nullable=True),
        sa.Column("queue", sa.String(155), nullable=True),
        sa.Column("stamps", large, nullable=True),
    ]
    tasks = sa.Table(
        "celery_taskmeta",
        metadata,
        number("task_id_sequence"),
        *(column for column in columns if present is None or column.name in present),
        sqlite_autoincrement=True,
    )
    groups = sa.Table(
        "celery_tasksetmeta",
        metadata,
        number("taskset_id_sequence"),
        sa.Column("taskset_id", sa.String(155), unique=True),
        sa.Column("result", large, nullable=True),
        sa.Column("date_done", sa.DateTime, nullable=True, index=True),
        sqlite_autoincrement=True,
    )
    results = sa.Table(
        "penstock_results",
        metadata,
        sa.Column("task_id", sa.String(ID_LENGTH), primary_key=True),
        sa.Column("state", sa.String(50), nullable=True),  # null: nothing was stored yet
        sa.Column("date_done", sa.DateTime, nullable=True),  # as in Celery's row: else not ours
        sa.Column("publication", sa.String(155), nullable=False),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("final", sa.Boolean, nullable=False),
        sa.Column("digest", sa.LargeBinary(16), nullable=False),
        sa.Column("ttl", sa.Double, nullable=True),  # seconds
        sa.Column("ends_at", sa.Double, nullable=True, index=True),  # wall time
        sa.Column("rest", large, nullable=True),
        sa.Column("document", large, nullable=True),
    )
    arrivals = sa.Table(
        "penstock_arrivals",
        metadata,
        sa.Column("group_id", sa.String(155), primary_key=True),
        sa.Column("member", sa.String(ID_LENGTH), primary_key=True),
        sa.Column("claim", sa.String(64), nullable=False),
        sa.Column("at", sa.Double, nullable=False, index=True),
    )
    return Tables(tasks, groups, results, arrivals)


def prepared(engine: sa.Engine, where: object) -> Tables:
    """The tables as they are in the database, made where they are missing.

    Raises ConfigError for one that cannot be ours, or Celery's; the client library's own error for
    all else.
    """
    _make_missing(engine)
    import sqlalchemy as sa

    looking = sa.inspect(engine)
    wanted = make_tables()
    present: set[str] = set()
    for table in wanted:
        there = {column["name"] for column in looking.get_columns(table.name)}
        needed = _REQUIRED.get(table.name, {column.name for column in table.columns})
        missing = sorted(needed - there)
        if missing:
            raise ConfigError(
                f"{where}: the table {table.name} has no column {', '.join(missing)}; it was "
                "altered, or belongs to another program: give it the column back, or name another "
                "database"
            )
        if table.name == "celery_taskmeta":
            present = there
    return make_tables(present, sequences=_sequences(looking))


def _sequences(looking: sa.Inspector) -> set[str]:
    if not looking.dialect.supports_sequences:
        return set()
    return {name for name in _SEQUENCES if looking.has_sequence(name)}


def _make_missing(engine: sa.Engine) -> None:
    import sqlalchemy as sa

    wanted = make_tables()
    for left in reversed(range(_TRIES)):
        looking = sa.inspect(engine)
        missing = [table for table in wanted if not looking.has_table(table.name)]
        if not missing:
            return
        try:
            wanted.tasks.metadata.create_all(engine, tables=missing)
        except (sa.exc.ProgrammingError, sa.exc.OperationalError, sa.exc.IntegrityError):
            # Somebody else may have made one of them in the meantime.
            if not left:
                raise
