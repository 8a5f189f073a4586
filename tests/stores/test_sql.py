"""Results in databases: what is in the tables, who may use them, what happens without them."""

import contextlib
import datetime as dt
import json
import os
import sys
import threading
import time

import pytest

from mariadb_server import MariadbServer
from penstock import App
from penstock.engines.sql_database import SqlDatabase
from penstock.engines.sql_rows import as_record, as_rows, refuses
from penstock.errors import ConfigError, EncodeError, Unavailable
from penstock.message import Record, new_id
from penstock.results.registry import open_store
from penstock.results.sql import SqlStore
from penstock.url import Url
from penstock.wire.result import ResultDocument as Document
from penstock.wire.result import decode_result, encode_result, read_exception
from postgres_server import PostgresServer
from servers import certificate
from wire_samples import sample
from workers import wait_for


@contextlib.contextmanager
def opened(url):
    store = open_store(url)
    try:
        yield store
    finally:
        store.close()


def another_process(url):
    """A store with an engine of its own, as another process has one."""
    return SqlStore(engine=SqlDatabase(Url.parse(url)))


def refusal(url, kind, record):
    store = open_store(url)
    with pytest.raises(kind) as caught:
        store.put([record()])
    store.close()
    assert "open@42" not in str(caught.value)
    assert "open%40" not in str(caught.value)
    return str(caught.value)


@pytest.fixture
def sqlite_url(tmp_path):
    return f"db+sqlite:///{tmp_path}/results.db"


@pytest.fixture
def postgres_sql_url(postgres_server):
    postgres_server.ensure()
    postgres_server.sql(
        "DROP TABLE IF EXISTS celery_taskmeta, celery_tasksetmeta, penstock_results,"
        " penstock_arrivals"
    )
    return f"db+{postgres_server.url()}"


# --- rows ----------------------------------------------------------------------------------------


DOCUMENTS = [
    {"result": {"a": [1, 2.5, None, True]}},
    {"result": float("nan")},
    {"children": [[["x", None], None]], "group_id": "g", "parent_id": "p"},
    {"name": "tasks.add", "args": [1], "kwargs": {}, "worker": "w@h", "retries": 0, "queue": "q"},
    {"stamped_headers": ["stamp"], "stamps": {"stamp": "abc"}},
    {"traceback": "with a \0 in it, and more"},
    {"traceback": "größer"},
]


@pytest.mark.parametrize("members", DOCUMENTS, ids=str)
def test_a_document_comes_back_from_its_columns(members):
    made = Document(task_id="it", status="SUCCESS", date_done=1.8e9, **members)
    record = Record("it", "SUCCESS", encode_result(made), key="k", attempt=2, final=True, ttl=9.0)
    rows = as_rows(record, 1.8e9)
    assert rows.ours["document"] is None
    found = as_record(rows.theirs, rows.ours, 1.8e9)
    assert repr(json.loads(found.document)) == repr(json.loads(record.document)) or sorted(
        map(repr, json.loads(found.document).items())
    ) == sorted(map(repr, json.loads(record.document).items()))
    assert (found.key, found.attempt, found.final, found.ttl) == ("k", 2, True, 9.0)


@pytest.mark.parametrize(
    "document", [b"\x00\xff", b"[]", b'{"status": "OTHER"}', b'{"status": "SUCCESS", "name": 5}']
)
def test_what_is_no_such_document_is_kept_whole(document):
    record = Record("it", "SUCCESS", document, final=True)
    rows = as_rows(record, 1.8e9)
    assert as_record(rows.theirs, rows.ours, 1.8e9) == record


@pytest.mark.parametrize("name", ["database", "database-extended"])
def test_rows_that_celery_wrote_are_read(name):
    for told in sample(name)["decoded"]:
        if told["table"] != "celery_taskmeta":
            continue
        row = {k: v["bytes"].encode() if isinstance(v, dict) else v for k, v in told["row"].items()}
        row["date_done"] = dt.datetime.fromisoformat(row["date_done"])
        record = as_record(row, None, 0.0)
        document = decode_result(record.document)
        assert (record.state, record.final) == (row["status"], True)
        assert document.task_id == row["task_id"]
        assert document.name == row["name"]
        if record.state == "FAILURE":
            assert isinstance(read_exception(document.result), ValueError)


def test_a_row_that_a_celery_worker_wrote_over_ours_is_its_own(record):
    one = record()
    rows = as_rows(one, 1.8e9)
    theirs = rows.theirs | {"status": "FAILURE", "result": b'{"exc_type": "E"}'}
    assert as_record(theirs, rows.ours, 1.8e9).state == "FAILURE"
    assert not refuses(theirs, rows.ours, record(one.id), 1.8e9)
    theirs = rows.theirs | {"date_done": None}
    assert refuses(theirs, rows.ours, record(one.id, value=9), 1.8e9)


# --- tables --------------------------------------------------------------------------------------


def test_a_table_without_the_extended_columns_is_used(mariadb_server, mariadb_url, record):
    mariadb_server.sql(
        "CREATE TABLE celery_taskmeta (id INT AUTO_INCREMENT PRIMARY KEY, task_id VARCHAR(155)"
        " UNIQUE, status VARCHAR(50), result BLOB, date_done DATETIME, traceback TEXT)",
        database="shop",
    )
    with opened(mariadb_url) as store:
        one = record()
        store.put([one])
        (found,) = store.get([one.id])
    assert json.loads(found.document) == json.loads(one.document)
    assert mariadb_server.sql("SELECT status, result FROM celery_taskmeta", database="shop") == (
        ("SUCCESS", b"8"),
    )


def test_a_result_that_the_column_does_not_take_is_a_failure_that_says_so(
    mariadb_server, mariadb_url, record
):
    mariadb_server.sql(
        "CREATE TABLE celery_taskmeta (id INT AUTO_INCREMENT PRIMARY KEY, task_id VARCHAR(155)"
        " UNIQUE, status VARCHAR(50), result BLOB, date_done DATETIME, traceback TEXT)",
        database="shop",
    )
    with opened(mariadb_url) as store:
        small, large = record(), record(value="x" * 100_000)
        assert store.put([small, large]) == []
        states = [found.state for found in store.get([small.id, large.id])]
        assert states == ["SUCCESS", "FAILURE"]
        error = read_exception(decode_result(store.get([large.id])[0].document).result)
    assert isinstance(error, EncodeError)
    assert "too short" in str(error)


def test_tables_of_ours_take_large_results(mariadb_url, record):
    with opened(mariadb_url) as store:
        large = record(value="x" * 1_000_000)
        assert store.put([large]) == []
        assert json.loads(store.get([large.id])[0].document) == json.loads(large.document)


def test_an_altered_table_is_named(mariadb_server, mariadb_url, record):
    with opened(mariadb_url) as store:
        store.put([record()])
    mariadb_server.sql("ALTER TABLE celery_taskmeta DROP COLUMN result", database="shop")
    text = refusal(mariadb_url, ConfigError, record)
    assert "celery_taskmeta" in text
    assert "no column result" in text


def test_a_table_that_is_altered_in_use_is_named(postgres_server, postgres_sql_url, record):
    with opened(postgres_sql_url) as store:
        store.put([record()])
        postgres_server.sql("ALTER TABLE penstock_results DROP COLUMN digest")
        with pytest.raises(ConfigError, match="penstock_results has no column digest"):
            store.put([record()])


def test_what_has_expired_is_dropped(postgres_server, postgres_sql_url, record):
    with opened(postgres_sql_url) as store:
        store.put([record(ttl=0.01), record(ttl=600.0)])
        wait_for(lambda: time.sleep(0.02) or True, what="the end of a lifetime")
        store._sweep_at = 0.0
        store.put([record()])
    assert postgres_server.sql("SELECT count(*) FROM celery_taskmeta") == [(2,)]
    assert postgres_server.sql("SELECT count(*) FROM penstock_results") == [(2,)]


# --- who may, and where --------------------------------------------------------------------------


def test_an_account_with_the_least_rights(mariadb_server, mariadb_url, record):
    with opened(mariadb_url) as store:
        store.put([record()])
    mariadb_server.account("least", "pw", "SELECT, INSERT, UPDATE, DELETE ON shop.*")
    with opened(mariadb_server.url(user="least", password="pw")) as store:
        one = record()
        assert store.put([one]) == []
        assert store.get([one.id])[0].state == "SUCCESS"
    mariadb_server.empty()
    text = refusal(mariadb_server.url(user="least", password="pw"), ConfigError, record)
    assert "docs/sql.md" in text


def test_a_wrong_password(mariadb_server, mariadb_url, postgres_server, record):
    assert "password" in refusal(mariadb_server.url(password="wrong"), ConfigError, record)
    postgres_server.ensure()
    wrong = f"db+{postgres_server.url(password='wrong')}"
    assert "password" in refusal(wrong, ConfigError, record)


@pytest.mark.parametrize("kind", [MariadbServer, PostgresServer])
def test_a_server_that_speaks_tls(kind, record):
    with kind(tls=True) as server:
        scheme = "db+" if kind is PostgresServer else ""
        with opened(f"{scheme}{server.tls_url()}") as store:
            one = record()
            assert store.put([one]) == []
            assert store.get([one.id])[0].state == "SUCCESS"
        strange = server.folder / "strange"
        strange.mkdir()
        other, _ = certificate(strange)
        wrong = f"{scheme}{server.tls_url()}".replace("server.crt", f"strange%2F{other.name}")
        assert "verify failed" in refusal(wrong, Unavailable, record)


def test_an_account_that_must_speak_tls(record):
    with MariadbServer(tls=True) as server:
        server.sql(f"ALTER USER {server.USER}@'%' REQUIRE SSL")
        with opened(server.tls_url()) as store:
            assert store.put([record()]) == []
        assert "password" in refusal(f"{server.url()}?ssl_disabled=true", ConfigError, record)


def put_for_ever(store, record):
    while True:
        store.put([record()])


def test_a_full_disk_refuses_until_there_is_room(record, small_disk):
    with PostgresServer() as server:
        server.keep_tables_at(small_disk)
        with opened(f"db+{server.url()}") as store:
            store.put([record()])
            server.fill()
            with pytest.raises(Unavailable, match="disk is full"):
                put_for_ever(store, record)
            server.make_room()
            assert store.put([record()]) == []


@pytest.mark.skipif(
    os.environ.get("FAULTS") != "full", reason="takes long: FAULTS=full, as in make faults"
)
def test_a_store_of_mariadb_that_cannot_grow_refuses_until_there_is_room(record):
    """What it says of a full disk, too, unless it ends of it."""
    with MariadbServer() as server, opened(server.url()) as store:
        kept = record()
        store.put([kept])
        server.have_no_room()
        with pytest.raises(Unavailable, match="its disk, or the table, is full"):
            put_for_ever(store, record)
        assert store.get([kept.id])[0].state == "SUCCESS"
        server.make_room()
        assert store.put([record()]) == []


def test_a_server_that_only_reads_refuses_and_is_read(mariadb_server, mariadb_url, record):
    with opened(mariadb_url) as store:
        kept = record()
        store.put([kept])
        mariadb_server.only_read()
        try:
            with pytest.raises(Unavailable, match="read-only: name the primary"):
                store.put([record()])
            assert store.get([kept.id])[0].state == "SUCCESS"
        finally:
            mariadb_server.only_read(False)
        assert store.put([record()]) == []


def test_a_database_that_is_not_there(mariadb_server, mariadb_url, postgres_server, record):
    assert "make the database" in refusal(mariadb_server.url("none"), ConfigError, record)
    postgres_server.ensure()
    none = f"db+{postgres_server.url(database='none')}"
    assert "make the database" in refusal(none, ConfigError, record)


def test_no_server(record):
    assert "is it running" in refusal("db+mysql://a:b@127.0.0.1:1/x", Unavailable, record)
    assert "is it running" in refusal("db+postgresql://a:b@127.0.0.1:1/x", Unavailable, record)


def test_a_file_of_penstocks_own_engine_is_refused(tmp_path, record):
    path = tmp_path / "penstock.db"
    app = App("tasks", broker=f"sqlite:///{path}", backend=f"db+sqlite:///{path}")
    app.broker.publish([])
    with pytest.raises(ConfigError, match="second SQLite library"):
        app.store.put([record()])
    app.broker.tend()
    app.close()
    assert "second SQLite library" in refusal(f"db+sqlite:///{path}", ConfigError, record)


@pytest.mark.parametrize("url", ["db+sqlite://", "db+sqlite:///", "db+sqlite:///:memory:"])
def test_no_file(url, record):
    assert "names no file" in refusal(url, ConfigError, record)


def test_a_folder_that_is_not_there(tmp_path, record):
    assert "no folder" in refusal(f"db+sqlite:///{tmp_path}/a/b.db", ConfigError, record)


@pytest.mark.parametrize(
    ("package", "url"),
    [("sqlalchemy", "db+sqlite:///x.db"), ("pymysql", "db+mysql://a/b"), ("psycopg", "db+postgresql://a/b")],
)  # fmt: skip
def test_without_the_extra(monkeypatch, tmp_path, package, url):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ConfigError, match=r"pip install 'penstock\[sql\]'"):
        another_process(url).get(["x"])


# --- waiting, and a server that goes away --------------------------------------------------------


def test_postgresql_wakes_who_waits(postgres_sql_url, record):
    one, other = record(), another_process(postgres_sql_url)
    with opened(postgres_sql_url) as store:
        store.LONGEST_PAUSE = store.FIRST_PAUSE = 60.0  # whoever looks by itself is too late
        found = []
        thread = threading.Thread(target=lambda: found.extend(store.wait([one.id], 30.0)))
        thread.start()
        wait_for(lambda: store.engine.tells, what="a connection that listens")
        other.put([one])
        thread.join(10)
        assert [record.state for record in found] == ["SUCCESS"]
    other.close()


def test_what_a_celery_worker_writes_is_found_by_looking(mariadb_server, mariadb_url):
    task_id = new_id()
    with opened(mariadb_url) as store:
        store.get([task_id])
        found = []
        thread = threading.Thread(target=lambda: found.extend(store.wait([task_id], 30.0)))
        thread.start()
        mariadb_server.sql(
            "INSERT INTO celery_taskmeta (id, task_id, status, result, date_done) VALUES"
            f" (NEXTVAL(task_id_sequence), '{task_id}', 'SUCCESS', '8', '2026-11-23 05:50:33')",
            database="shop",
        )
        thread.join(10)
    assert [decode_result(one.document).result for one in found] == [8]


@pytest.mark.parametrize("kind", ["mariadb", "postgres"])
def test_a_restart_in_the_middle_of_a_wait(request, kind, record):
    server = request.getfixturevalue(f"{kind}_server")
    server.ensure()
    url = server.url() if kind == "mariadb" else f"db+{server.url()}"
    one = record()
    with opened(url) as store:
        store.put([record()])
        found = []
        thread = threading.Thread(target=lambda: found.extend(store.wait([one.id], 60.0)))
        thread.start()
        wait_for(lambda: store.engine.bells.are_heard, what="a waiter")
        server.kill()
        with pytest.raises(Unavailable):
            store.put([record()])
        server.start()
        assert store.put([one]) == []
        thread.join(20)
        assert [record.state for record in found] == ["SUCCESS"]


# --- with a worker -------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["sqlite", "mariadb", "postgres_sql"])
def test_a_worker_stores_its_results_there(request, bench, kind):
    url = request.getfixturevalue(f"{kind}_url")
    tasks = bench.tasks(f"app.conf.result_backend = {url!r}")
    worker = bench.worker("-c", "2")
    results = tasks.add.send_many([(n, n) for n in range(20)])
    assert [result.get(timeout=20) for result in results] == [2 * n for n in range(20)]
    assert worker.stop() == 0
    assert "open@42" not in worker.text
    assert "open%40" not in worker.text


def test_a_worker_does_not_start_with_a_store_that_it_may_not_use(bench, mariadb_server):
    mariadb_server.ensure()
    bench.tasks(f"app.conf.result_backend = {mariadb_server.url(password='wrong')!r}")
    worker = bench.worker(ready=False)
    worker.line("check the URL's user name and password")
    assert worker.end() == 2


def test_a_worker_keeps_its_results_until_the_server_takes_them(bench, mariadb_server, mariadb_url):
    tasks = bench.tasks(f"app.conf.result_backend = {mariadb_url!r}")
    worker = bench.worker("-c", "2")
    assert tasks.add.delay(1, 1).get(timeout=20) == 2
    mariadb_server.only_read()
    try:
        results = tasks.add.send_many([(n, n) for n in range(5)])
        worker.line("read-only: name the primary")
        assert not any(result.ready() for result in results)
    finally:
        mariadb_server.only_read(False)
    assert [result.get(timeout=20) for result in results] == [2 * n for n in range(5)]
    assert worker.stop() == 0


def test_a_worker_waits_for_its_store(bench, mariadb_server, mariadb_url):
    tasks = bench.tasks(f"app.conf.result_backend = {mariadb_url!r}")
    mariadb_server.kill()
    worker = bench.worker(ready=False)
    worker.line("The result store is not there yet")
    mariadb_server.start()
    worker.line(r" ready\.")
    assert tasks.add.delay(2, 3).get(timeout=20) == 5
    assert worker.stop() == 0
