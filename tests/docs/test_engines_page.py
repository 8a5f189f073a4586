"""The page on engines tells each broker's capabilities as the broker itself does."""

import re
from pathlib import Path

import pytest

from penstock.brokers.base import Capabilities
from penstock.brokers.registry import SCHEMES
from penstock.engines.schemes import backend_class
from penstock.url import Url

PAGE = Path(__file__).parents[2] / "docs" / "engines.md"
SHOWN = ("memory", "sqlite", "redis", "amqp", "postgresql", "zookeeper")


def told():
    """Rows of the table, by capability: the words in its cells, by scheme."""
    rows = re.findall(r"^\| `(\w+)` (.*?)\|\n", PAGE.read_text("utf-8"), re.MULTILINE)
    return {name: dict(zip(SHOWN, _cells(rest)[-len(SHOWN) :], strict=True)) for name, rest in rows}


def _cells(rest):
    return [cell.strip() for cell in rest.split("|")]


def test_every_capability_has_a_row():
    assert set(told()) == set(Capabilities.__struct_fields__) - {"durable"}


@pytest.mark.parametrize("scheme", SHOWN)
def test_what_it_says_of_a_broker_is_so(scheme):
    found = backend_class(Url(scheme), SCHEMES, what="broker").capabilities
    words = {name: "yes" if getattr(found, name) else "no" for name in told()}
    assert {name: cells[scheme] for name, cells in told().items()} == words
