"""Addresses: read whole, shown without their password, whatever is wrong with them."""

import traceback

import pytest

from penstock.errors import ConfigError
from penstock.url import Url

SECRET = "s3cr3t"


def test_every_part_is_read():
    url = Url.parse("REDIS://jo%40x:p%2Fw@Example.org:6380/5?ssl=true&empty=")
    assert (url.scheme, url.user, url.password) == ("redis", "jo@x", "p/w")
    assert (url.host, url.port, url.path) == ("example.org", 6380, "/5")
    assert url.options == {"ssl": "true", "empty": ""}


def test_a_parsed_address_is_taken_as_it_is():
    url = Url.parse("memory://")
    assert Url.parse(url) is url


def test_a_file_path_may_hold_an_at_sign():
    assert Url.parse("sqlite:///jobs@home.db").path == "/jobs@home.db"


@pytest.mark.parametrize(
    "text",
    [
        f"redis://:{SECRET}@host:6379/5",
        f"amqp://guest:{SECRET}@host//",
        f"postgresql://u:{SECRET}@[::1]:5432/db",
        f"redis://host/0?password={SECRET}",
    ],
)
def test_a_password_is_never_shown(text):
    url = Url.parse(text)
    assert SECRET not in str(url)
    assert SECRET not in repr(url)
    assert SECRET in url.raw


def test_the_text_of_an_address_tells_the_rest():
    assert str(Url.parse("redis://u:p@host:6379/5")) == "redis://u:**@host:6379/5"
    assert str(Url.parse("redis://:p@host/5")) == "redis://:**@host/5"
    assert str(Url.parse("sqlite:///penstock.db")) == "sqlite:///penstock.db"


@pytest.mark.parametrize(
    "text",
    [
        f"redis://:{SECRET}@host:99999/0",
        f"redis://:{SECRET}@host:port/0",
        f"redis://:{SECRET}@[::1",
        f"redis://:{SECRET}/x@host:6379/0",
        f"redis://:12/{SECRET}@host:6379/0",
        f"redis://:{SECRET}#x@host:6379/0",
        f"redis://:{SECRET}?x@host:6379/0",
        f"x {SECRET}://:{SECRET}@host",
        f"user:{SECRET}@host",
    ],
)
def test_nor_is_it_shown_by_the_error_for_a_bad_address(text):
    with pytest.raises(ConfigError) as caught:
        Url.parse(text)
    shown = "".join(traceback.format_exception(caught.value, chain=True))
    shown = shown.replace(text, "")  # source lines of this test, if any
    assert SECRET not in str(caught.value)
    assert SECRET not in shown
    assert "port" in str(caught.value) or "scheme" in str(caught.value)


@pytest.mark.parametrize("text", ["", "redis", "://host", "/tmp/penstock.db"])
def test_a_text_without_scheme_is_refused_with_an_example(text):
    with pytest.raises(ConfigError, match=r"sqlite:///penstock\.db"):
        Url.parse(text)
