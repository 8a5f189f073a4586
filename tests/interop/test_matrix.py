"""Every case of the table, for every pairing of clients and workers.

Without INTEROP=full in the environment (`make interop` sets it) a slice of it: a few cases, of the
pairings that cross; on RabbitMQ fewer.
"""

import os

import pytest

from interop.cases import CASES, SMOKE, Scene

FULL = os.environ.get("INTEROP") == "full"
FLEETS = {"celery": "Celery workers", "penstock": "penstock workers", "both": "a mixed fleet"}
PLACES = ("Redis", "RabbitMQ")
LAST = {"everybody works", "nothing is left"}
SLICES = {
    "Redis": {*SMOKE, *LAST},
    "RabbitMQ": {"a simple call", "an exception that the client knows", *LAST},
}


def in_slice(place, fleet, client, case):
    return client != fleet and case.name in SLICES[place]


ROWS = [
    pytest.param((place, fleet), client, case, id=name)
    for place in PLACES
    for fleet in FLEETS
    for case in CASES
    for client in case.clients
    if FULL or in_slice(place, fleet, client, case)
    for name in [f"{place}, {client} client, {FLEETS[fleet]}: {case.name}"]
]


@pytest.mark.parametrize(("fleet", "client", "case"), ROWS, indirect=["fleet"])
def test_pairing(fleet, client, case):
    assert case.act(Scene(fleet.client(client), fleet)) == case.sees
