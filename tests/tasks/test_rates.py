"""Rate limits are read where they are written, so that a bad one is known at once."""

import pytest

from penstock import App
from penstock.errors import ConfigError
from penstock.tasks.rates import parse_rate


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("10/s", 10),
        ("120/m", 2),
        ("36/h", 0.01),
        (5, 5),
        ("5", 5),
        (None, None),
        (0, None),
        ("", None),
    ],
)
def test_rates_are_read_as_celery_writes_them(text, rate):
    assert parse_rate(text) == (None if rate is None else pytest.approx(rate))


@pytest.mark.parametrize("text", ["fast", "10/day", "/s", "1" + 5_000 * "["])
def test_a_bad_rate_is_named(text):
    with pytest.raises(ConfigError, match="rate_limit") as caught:
        parse_rate(text)
    assert len(str(caught.value)) < 300  # it stands in logs


def test_a_bad_rate_is_refused_at_the_decorator_and_in_the_settings():
    app = App("tasks")
    with pytest.raises(ConfigError, match="fast"):

        @app.task(rate_limit="fast")
        def run():
            pass

    with pytest.raises(ConfigError, match="fast"):
        app.conf.task_default_rate_limit = "fast"
