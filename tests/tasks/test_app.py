"""An app: where its messages and results go."""

import threading

import pytest

from penstock import App, ConfigError


@pytest.fixture(autouse=True)
def no_environment(monkeypatch):
    monkeypatch.delenv("PENSTOCK_BROKER_URL", raising=False)
    monkeypatch.delenv("PENSTOCK_RESULT_BACKEND", raising=False)


def urls(app):
    return app.broker_url, app.backend_url


def test_without_a_word_it_is_a_file_in_the_current_folder():
    assert urls(App("tasks")) == ("sqlite:///penstock.db", "sqlite:///penstock.db")


def test_the_environment_beats_the_default(monkeypatch):
    app = App("tasks")
    monkeypatch.setenv("PENSTOCK_BROKER_URL", "memory://a")
    monkeypatch.setenv("PENSTOCK_RESULT_BACKEND", "memory://b")
    assert urls(app) == ("memory://a", "memory://b")


def test_an_argument_beats_the_environment(monkeypatch):
    monkeypatch.setenv("PENSTOCK_BROKER_URL", "memory://a")
    monkeypatch.setenv("PENSTOCK_RESULT_BACKEND", "memory://b")
    app = App("tasks", broker="memory://c", backend="memory://d")
    assert urls(app) == ("memory://c", "memory://d")
    assert urls(App("tasks", broker_url="memory://c")) == ("memory://c", "memory://b")


def test_results_are_kept_where_the_messages_are():
    assert urls(App("tasks", broker="memory://a")) == ("memory://a", "memory://a")


def test_results_of_an_engine_that_keeps_none_go_to_the_file():
    app = App("tasks", broker="amqp://guest:guest@host//")
    assert app.backend_url == "sqlite:///penstock.db"


def test_its_text_shows_no_password():
    app = App("tasks", broker="redis://:secret@host:6379/5")
    assert "secret" not in repr(app)
    assert "host:6379" in repr(app)


def test_an_unknown_engine():
    with pytest.raises(ConfigError, match="did you mean memory"):
        _ = App("tasks", broker="memori://").broker


def test_threads_share_one_broker_and_one_store():
    app = App("tasks", broker="memory://")
    barrier = threading.Barrier(8)
    seen = []

    def look():
        barrier.wait()
        seen.append((id(app.broker), id(app.store)))

    threads = [threading.Thread(target=look) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(seen)) == 1
    app.close()


def test_it_can_be_used_again_after_close():
    app = App("tasks", broker="memory://")
    before = app.broker
    app.close()
    assert app.broker is not before
    app.close()


def test_hooks_of_executors():
    app = App("tasks")
    calls = []

    @app.executor_started
    def connect():
        calls.append("connect")

    @app.executor_stopping
    def first():
        calls.append("first")

    @app.executor_stopping
    def second():
        calls.append("second")

    app.start_executor()
    app.stop_executor()
    assert calls == ["connect", "second", "first"]


def test_only_functions_are_tasks():
    with pytest.raises(ConfigError, match="functions"):
        App("tasks").task(3)
