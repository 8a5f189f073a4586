import functools
import os

import pytest

import process_queues


@functools.cache
def queues(core):
    return process_queues.load(core)


@pytest.fixture(scope="session", params=["native", "python"])
def core(request):
    """The two implementations."""
    try:
        queues(request.param)
    except ImportError:
        pytest.skip("the C core was not compiled")
    return request.param


@pytest.fixture
def kind(core):
    """The class ProcessQueue, on each of the two cores."""
    return queues(core).ProcessQueue


@pytest.fixture
def make(kind):
    """Makes queues, which are closed after the test."""
    made = []

    def make_one(*args, **options):
        made.append(kind(*args, max_bytes=options.pop("max_bytes", 65536), **options))
        return made[-1]

    yield make_one
    for queue in made:
        queue.close()


@pytest.fixture
def queue(make):
    return make()


@pytest.fixture
def name(request):
    """A name that no other queue has."""
    return f"test-{os.getpid()}-{os.urandom(4).hex()}"
