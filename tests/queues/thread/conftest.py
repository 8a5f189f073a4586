import functools

import pytest

import thread_queues


@functools.cache
def queues(core):
    return thread_queues.load(core)


@pytest.fixture(scope="session", params=["native", "python"])
def module(request):
    """penstock.queues.thread, on each of the two cores."""
    try:
        return queues(request.param)
    except ImportError:
        pytest.skip("the C core was not compiled")


@pytest.fixture
def fifo(module):
    return module.Queue


@pytest.fixture
def heap(module):
    return module.PriorityQueue


@pytest.fixture(params=["Queue", "LifoQueue", "PriorityQueue"])
def kind(request, module):
    """Each of the three kinds, for what they have in common."""
    return getattr(module, request.param)
