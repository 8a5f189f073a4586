"""The schema: made on first use, by `penstock schema apply`, by two at once, beside a newer one."""

import threading

import pytest

from penstock.brokers.registry import open_broker
from penstock.cli import main
from penstock.engines.postgres_schema import SCHEMA
from penstock.errors import ConfigError
from penstock.message import Done, Message, new_id


def message():
    return Message(id=new_id(), queue="orders", headers={"task": "t"}, body=b"[]")


def once_around(url):
    broker = open_broker(url)
    try:
        broker.publish([message()])
        (lease,) = broker.lease(["orders"], 5, 10.0)
        assert broker.settle([Done(lease)]) == []
    finally:
        broker.close()


def schema_of(url):
    return url.rpartition("=")[2]


@pytest.fixture
def modest(postgres_server, postgres_url):
    """The URL for an account that may use the tables of a schema and make none."""
    postgres_server.sql(
        "DO $$ BEGIN CREATE ROLE modest LOGIN PASSWORD 'modest'; "
        "EXCEPTION WHEN duplicate_object THEN NULL; END $$"
    )
    return postgres_server.url(user="modest", password="modest", schema=schema_of(postgres_url))


def granted(server, schema):
    server.sql(f"GRANT USAGE ON SCHEMA {schema} TO modest")
    server.sql(f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {schema} TO modest")


def test_it_is_made_on_first_use(postgres_url):
    once_around(postgres_url)


def test_show_and_apply_and_apply_again(postgres_url, capsys):
    assert main(["schema", "show", postgres_url]) == 0
    assert "not there yet" in capsys.readouterr().out
    assert main(["schema", "apply", postgres_url]) == 0
    assert f"applied version {SCHEMA}" in capsys.readouterr().out
    assert main(["schema", "apply", postgres_url]) == 0
    assert "is up to date" in capsys.readouterr().out
    assert main(["schema", "show", postgres_url]) == 0
    assert f": version {SCHEMA};" in capsys.readouterr().out
    once_around(postgres_url)


def test_the_url_may_be_the_apps(postgres_url, capsys):
    assert main(["--broker", postgres_url, "schema", "apply"]) == 0
    assert capsys.readouterr().out.count("applied version") == 1


def test_the_printed_sql_makes_it(postgres_server, postgres_url, capsys):
    assert main(["schema", "show", "--sql", postgres_url]) == 0
    postgres_server.sql(capsys.readouterr().out)
    assert main(["schema", "apply", postgres_url]) == 0
    assert "is up to date" in capsys.readouterr().out
    once_around(postgres_url)


def test_a_broker_without_schema_says_so(capsys):
    assert main(["schema", "apply", "redis://localhost"]) == 2
    assert "needs none" in capsys.readouterr().err


def test_an_account_that_may_not_make_it_is_told_what_to_run(modest):
    broker = open_broker(modest)
    with pytest.raises(ConfigError, match="penstock schema apply"):
        broker.publish([message()])
    broker.close()


def test_an_account_with_nothing_but_the_tables_is_enough(postgres_server, postgres_url, modest):
    once_around(postgres_url)
    broker = open_broker(modest)
    with pytest.raises(ConfigError, match="grant it"):
        broker.publish([message()])
    broker.close()
    granted(postgres_server, schema_of(postgres_url))
    once_around(modest)
    broker = open_broker(modest)
    broker.enrol("w@modest", {})
    broker.announce(b"hello")
    broker.tend()
    broker.close()


def test_ten_at_once_make_it_once(postgres_server, postgres_url):
    def use(number):
        # Another text for the same place: another engine, as in another process.
        broker = open_broker(f"{postgres_url}&application_name=user{number}")
        broker.publish([message()])
        broker.close()

    threads = [threading.Thread(target=use, args=(number,)) for number in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert postgres_server.sql(f"SELECT count(*) FROM {schema_of(postgres_url)}.message") == [(10,)]
    count = postgres_server.sql(f"SELECT count(*) FROM {schema_of(postgres_url)}.schema_version")
    assert count == [(1,)]


def test_a_newer_schema_that_only_adds_is_used(postgres_server, postgres_url):
    once_around(postgres_url)
    schema = schema_of(postgres_url)
    # What a later release may do: a column with a default, an index, another version.
    postgres_server.sql(f"ALTER TABLE {schema}.message ADD COLUMN tenant text NOT NULL DEFAULT ''")
    postgres_server.sql(f"CREATE INDEX ON {schema}.message (tenant)")
    postgres_server.sql(f"INSERT INTO {schema}.schema_version VALUES ({SCHEMA + 1}, {SCHEMA})")
    once_around(f"{postgres_url}&application_name=older")


def test_a_newer_schema_that_cannot_be_used_says_so(postgres_server, postgres_url):
    once_around(postgres_url)
    schema, newer = schema_of(postgres_url), SCHEMA + 1
    postgres_server.sql(f"INSERT INTO {schema}.schema_version VALUES ({newer}, {newer})")
    with pytest.raises(ConfigError, match="upgrade penstock"):
        once_around(f"{postgres_url}&application_name=older")


def test_a_schema_that_was_dropped_is_made_anew(postgres_server, postgres_url):
    broker = open_broker(postgres_url)
    broker.publish([message()])
    postgres_server.sql(f"DROP SCHEMA {schema_of(postgres_url)} CASCADE")
    with pytest.raises(ConfigError, match="penstock schema apply"):
        broker.publish([message()])
    broker.publish([message()])
    assert broker.depth("orders") == 1
    broker.close()


def test_a_table_that_was_altered_is_named(postgres_server, postgres_url):
    broker = open_broker(postgres_url)
    broker.publish([message()])
    postgres_server.sql(f"ALTER TABLE {schema_of(postgres_url)}.message DROP COLUMN deaths CASCADE")
    with pytest.raises(ConfigError, match=r"column .*deaths.* altered"):
        broker.lease(["orders"], 1, 10.0)
    broker.close()
