"""penstock on the oldest redis-py and hiredis that it is for; all other tests have the newest.

What depends on the client library is how a connection is made and what it says when it cannot be:
those tests run in a process that has the old ones, and a worker there.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import celery_env
from servers import absent

HERE = Path(__file__).parent
FULL = os.environ.get("INTEROP") == "full"
SLICE = ["test_redis_places.py", "test_redis_trouble.py::test_a_worker_is_back_within_seconds"]
WHOLE = [
    f"test_redis_{part}.py"
    for part in ("places", "tls", "sentinel", "trouble", "custody", "control")
]


@pytest.fixture(scope="module")
def old():
    try:
        return celery_env.packages("redis-oldest")
    except celery_env.CannotMake as error:
        return absent(f"no old redis-py: {error}")


def python(old, *words):
    return subprocess.run(
        [sys.executable, *words],
        env=os.environ | {"PYTHONPATH": str(old)},
        cwd=HERE.parents[1],
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_oldest_client_library(old):
    said = python(old, "-c", "import redis, hiredis; print(redis.__version__, hiredis.__version__)")
    assert said.stdout.split() == ["5.0.0", "3.2.0"], said.stderr
    tests = [HERE / name for name in (WHOLE if FULL else SLICE)]
    quiet = ("-W", "ignore::pytest.PytestUnraisableExceptionWarning")  # it leaves sockets open
    done = python(old, "-m", "pytest", "-q", "-p", "no:cacheprovider", *quiet, *map(str, tests))
    assert done.returncode == 0, done.stdout + done.stderr
