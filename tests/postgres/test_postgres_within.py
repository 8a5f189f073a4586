"""A task exists exactly if the transaction that it was sent in commits."""

import asyncio

import psycopg
import pytest
import sqlalchemy
from sqlalchemy import orm
from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

from penstock import App
from penstock.errors import ConfigError
from penstock.plan import Listener

_SOON = 10.0


@pytest.fixture
def app(postgres_url):
    app = App("shop", broker=postgres_url)
    yield app
    app.close()


@pytest.fixture
def add(app):
    @app.task(name="shop.add")
    def add(x: int, y: int) -> int:
        return x + y

    return add


def sent(app):
    return [message.id for message in app.broker.peek("celery", 100)]


@pytest.fixture
def place(postgres_server):
    """Where the database is, for other libraries than ours."""
    return postgres_server.url()


@pytest.fixture
def alchemy(place):
    return place.replace("postgresql://", "postgresql+psycopg://")


def test_committed_it_is_there_and_not_before(app, add, place):
    with psycopg.connect(place) as connection:
        connection.execute("CREATE TEMPORARY TABLE orders (id int)")
        result = add.delay_in(connection, 4, 4)
        assert sent(app) == []
        assert result.state == "PENDING"
        connection.commit()
        assert sent(app) == [result.id]


def test_rolled_back_it_never_was(app, add, place):
    with psycopg.connect(place) as connection:
        add.delay_in(connection, 4, 4)
        connection.rollback()
        kept = add.delay_in(connection, 5, 5)
    assert sent(app) == [kept.id]


def test_a_savepoint_that_is_rolled_back_takes_it_along(app, add, place):
    with psycopg.connect(place) as connection:
        kept = add.delay_in(connection, 4, 4)
        with connection.transaction() as inner:
            add.delay_in(connection, 5, 5)
            raise psycopg.Rollback(inner)
    assert sent(app) == [kept.id]


def test_a_connection_with_rows_and_cursors_of_its_own(app, add, place):
    with psycopg.connect(
        place, row_factory=psycopg.rows.dict_row, cursor_factory=psycopg.ClientCursor
    ) as connection:
        kept = add.delay_in(connection, 4, 4)
    assert sent(app) == [kept.id]


def test_the_commit_wakes_who_waits(app, add, place):
    listener: Listener = app.broker.listen(["celery"])
    try:
        with psycopg.connect(place) as connection:
            add.delay_in(connection, 4, 4)
            connection.execute("SELECT 1")
            assert not listener.wait(0)
            connection.commit()
            assert listener.wait(_SOON)
    finally:
        listener.close()


def test_a_psycopg_connection_for_coroutines(app, add, place):
    async def send():
        async with await psycopg.AsyncConnection.connect(place) as connection:
            await add.adelay_in(connection, 1, 1)
            await connection.rollback()
            return await add.adelay_in(connection, 4, 4)

    kept = asyncio.run(send())
    assert sent(app) == [kept.id]


def test_a_blocking_connection_in_a_coroutine(app, add, place):
    with psycopg.connect(place) as connection:
        kept = asyncio.run(add.adelay_in(connection, 4, 4))
        assert sent(app) == []
    assert sent(app) == [kept.id]


def test_a_connection_for_coroutines_is_refused_by_the_blocking_call(add, place):
    async def send():
        async with await psycopg.AsyncConnection.connect(place) as connection:
            with pytest.raises(ConfigError, match="adelay_in"):
                add.delay_in(connection, 4, 4)

    asyncio.run(send())


def test_a_session_of_sqlalchemy(app, add, alchemy):
    engine = sqlalchemy.create_engine(alchemy)
    with orm.Session(engine) as session:
        add.delay_in(session, 1, 1)
        session.rollback()
        kept = add.delay_in(session, 4, 4)
        assert sent(app) == []
        session.commit()
    engine.dispose()
    assert sent(app) == [kept.id]


def test_a_connection_of_sqlalchemy(app, add, alchemy):
    engine = sqlalchemy.create_engine(alchemy)
    with engine.begin() as connection:
        kept = add.delay_in(connection, 4, 4)
        assert sent(app) == []
    engine.dispose()
    assert sent(app) == [kept.id]


def test_a_scoped_session(app, add, alchemy):
    engine = sqlalchemy.create_engine(alchemy)
    session = orm.scoped_session(orm.sessionmaker(engine))
    kept = add.delay_in(session, 4, 4)
    session.commit()
    session.remove()
    engine.dispose()
    assert sent(app) == [kept.id]


def test_sqlalchemy_for_coroutines(app, add, alchemy):
    async def send():
        engine = sqlalchemy_asyncio.create_async_engine(alchemy)
        async with sqlalchemy_asyncio.AsyncSession(engine) as session:
            first = await add.adelay_in(session, 4, 4)
            await session.commit()
        async with engine.connect() as connection:
            await add.adelay_in(connection, 4, 4)
            await connection.rollback()
            second = await add.adelay_in(connection, 5, 5)
            await connection.commit()
        await engine.dispose()
        return [first.id, second.id]

    kept = asyncio.run(send())
    assert sent(app) == kept


def test_another_database_is_refused_before_anything_is_done(add, postgres_server):
    with psycopg.connect(postgres_server.url(database="postgres")) as connection:
        connection.execute("SELECT 1")
        with pytest.raises(ConfigError, match="only a transaction of the same database"):
            add.delay_in(connection, 4, 4)
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_another_kind_of_database_is_refused(add, tmp_path):
    engine = sqlalchemy.create_engine("sqlite://")
    with engine.connect() as connection, pytest.raises(ConfigError, match="a sqlite database"):
        add.delay_in(connection, 4, 4)
    engine.dispose()


@pytest.mark.parametrize("wrong", ["postgresql://x", None, object()])
def test_what_is_no_connection_is_refused(add, wrong):
    with pytest.raises(ConfigError, match="no connection to PostgreSQL"):
        add.delay_in(wrong, 4, 4)


def test_an_aborted_transaction_says_so(add, place):
    with psycopg.connect(place) as connection:
        with pytest.raises(psycopg.errors.UndefinedTable):
            connection.execute("SELECT * FROM nowhere")
        with pytest.raises(Exception, match="current transaction is aborted"):
            add.delay_in(connection, 4, 4)


def test_arguments_are_checked_before(add, place):
    with psycopg.connect(place) as connection, pytest.raises(TypeError):
        add.delay_in(connection, 4, 4, 4)


def test_it_is_leased_like_any_other(add, app, place):
    broker = app.broker
    with psycopg.connect(place) as connection:
        kept = add.delay_in(connection, x=4, y=4)
    (lease,) = broker.lease(["celery"], 5, 10.0)
    assert lease.message.id == kept.id
    assert b'"x": 4' in lease.message.body
