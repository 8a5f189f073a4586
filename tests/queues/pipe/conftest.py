import gc
from multiprocessing import forkserver, resource_sharer, resource_tracker

import pytest

import pipe_calls


@pytest.fixture(params=["native", "python"])
def core(request):
    return request.param


@pytest.fixture
def module(core, monkeypatch):
    """penstock.queues.pipe on each of the two cores, also for the processes that it starts."""
    monkeypatch.setenv("PENSTOCK_CORE", core)
    try:
        return pipe_calls.load(core)
    except ImportError:
        pytest.skip("the C core was not compiled")


@pytest.fixture
def make_pipe(module):
    """Makes pipes, which are closed after the test."""
    made = []

    def make(*args, **options):
        ends = module.Pipe(*args, **options)
        made.extend(ends)
        return ends

    yield make
    for end in made:
        end.close()


@pytest.fixture
def pair(make_pipe):
    return make_pipe()


@pytest.fixture
def one_way(make_pipe):
    return make_pipe(duplex=False)


@pytest.fixture
def helpers():
    """For tests that make multiprocessing start helpers of its own: they are stopped again."""
    yield
    resource_sharer.stop()
    forkserver._forkserver._stop()


@pytest.fixture(autouse=True)
def nothing_is_left_behind(request):
    """Neither descriptors nor threads, whatever the test did. Set up first, checked last."""
    if "helpers" in request.fixturenames:
        resource_tracker.ensure_running()  # it stays, for all processes
    before = pipe_calls.held()
    yield
    if pipe_calls.held() - before:
        gc.collect()  # a traceback may still hold an end
    assert not pipe_calls.held() - before
