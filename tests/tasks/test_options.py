"""The options of ``@app.task``."""

import pytest

from penstock import App, ConfigError
from penstock.tasks.options import TaskOptions, wire_priority
from penstock.tasks.settings import Settings


@pytest.fixture
def app():
    return App("tasks")


def test_every_option_is_taken(app):
    @app.task(
        name="t",
        bind=True,
        max_retries=None,
        default_retry_delay=1,
        autoretry_for=(OSError,),
        dont_autoretry_for=[FileNotFoundError],
        retry_kwargs={"max_retries": 5},
        retry_backoff=2,
        retry_backoff_max=60,
        retry_jitter=False,
        queue="slow",
        priority="high",
        time_limit=10,
        soft_time_limit=5.5,
        rate_limit="10/m",
        ignore_result=True,
        track_started=True,
        expires=60,
        acks_late=False,
        reject_on_worker_lost=True,
        serializer="json",
    )
    def task(self):
        return None

    assert task.options.autoretry_for == (OSError,)
    assert task.options.dont_autoretry_for == (FileNotFoundError,)
    assert task.options.time_limit == 10.0
    assert task.max_retries is None


def test_defaults_are_celery_s():
    options = TaskOptions.of({})
    assert (options.max_retries, options.default_retry_delay) == (3, 180.0)
    assert (options.retry_backoff_max, options.retry_jitter) == (600.0, True)


def test_an_unknown_option_names_the_nearest(app):
    with pytest.raises(ConfigError, match=r"'max_retrys'; did you mean max_retries\?"):
        app.task(max_retrys=3)


@pytest.mark.parametrize(
    "option",
    [
        {"max_retries": "3"},
        {"max_retries": -1},
        {"time_limit": 0},
        {"serializer": "pickle"},
        {"autoretry_for": (int,)},
        {"autoretry_for": ("OSError",)},
        {"priority": 12},
        {"priority": "urgent"},
        {"bind": 1},
    ],
)
def test_a_wrong_option_names_itself(app, option):
    with pytest.raises(ConfigError, match=next(iter(option))):
        app.task(**option)


def test_settings_fill_in_what_options_do_not_say():
    settings = Settings.of({"task_time_limit": 9, "task_acks_late": False})
    resolved = TaskOptions.of({"time_limit": 1}).resolved(settings)
    assert (resolved.time_limit, resolved.acks_late) == (1.0, False)
    assert resolved.ignore_result is False


@pytest.mark.parametrize(
    ("word", "highest_first", "number"),
    [("high", True, 9), ("high", False, 0), ("low", True, 0), ("low", False, 9), (4, False, 4)],
)
def test_words_mean_the_same_on_every_broker(word, highest_first, number):
    assert wire_priority(word, highest_first=highest_first) == number
