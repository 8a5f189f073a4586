"""A prefix before every key, on both sides: they meet behind it, and nothing lies before it.

Only with INTEROP=full in the environment, as `make interop` sets it.
"""

import os
import socket

import pytest

from interop.fleet import Fleet

pytestmark = pytest.mark.skipif(
    os.environ.get("INTEROP") != "full", reason="without INTEROP=full: `make interop` runs it"
)

PREFIX = "shop."
KINDS = ("celery", "penstock")
WHERE = {
    "broker_transport_options": {"global_keyprefix": PREFIX},
    "result_backend_transport_options": {"global_keyprefix": PREFIX},
}


class PrefixedFleet(Fleet):
    """Celery is told by its settings, penstock in the URL."""

    def environment(self, kind, who="client"):
        environment = super().environment(kind, who)
        if kind == "penstock":
            for name in ("INTEROP_BROKER", "INTEROP_BACKEND"):
                environment[name] += f"?key_prefix={PREFIX}"
        return environment


@pytest.fixture(scope="module")
def fleet(interop_server, tmp_path_factory):
    folder = tmp_path_factory.mktemp("prefixed")
    with PrefixedFleet(interop_server, folder, own_settings={"celery": WHERE}) as fleet:
        for kind in KINDS:
            fleet.worker(kind, name=kind, queues=[kind], ready=False, options=["-E"])
        for worker in fleet.workers:
            worker.await_ready()
        yield fleet


@pytest.mark.parametrize("worker", KINDS)
@pytest.mark.parametrize("sender", KINDS)
def test_each_sends_to_each_and_either_reads_the_result(fleet, sender, worker):
    task_id = fleet.client(sender)("send", "add", (2, 3), queue=worker)
    for reader in KINDS:
        assert fleet.client(reader)("outcome", task_id) == ("SUCCESS", 5, None)


@pytest.mark.parametrize("asking", KINDS)
def test_either_hears_both(fleet, asking):
    names = [f"celery@{socket.gethostname()}", f"penstock@{socket.gethostname()}"]
    answers = fleet.client(asking)("inspect", "ping", destination=names)
    assert sorted(answers) == names


@pytest.mark.parametrize("sender", KINDS)
def test_what_is_for_later_waits_behind_it(fleet, sender):
    for worker in KINDS:
        task_id = fleet.client(sender)("send", "add", (1, 1), queue=worker, countdown=0.5)
        assert fleet.client(sender)("outcome", task_id) == ("SUCCESS", 2, None)


def test_nothing_of_penstocks_lies_before_it(fleet):
    for client in (fleet.broker, fleet.backend):
        keys = list(client.scan_iter())
        assert keys
        assert [key for key in keys if not key.startswith(PREFIX)] == []
