"""The C core of the queues between threads, in a storm, under address and undefined sanitizers."""

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CORE = ROOT / "src/penstock/queues/_core"
STORM = ROOT / "tests/support/items_storm.py"
FLAGS = ["-std=c11", "-g", "-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]


def run(*command, **variables):
    environment = {**os.environ, **variables}
    return subprocess.run(
        list(map(str, command)),
        env=environment,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


@pytest.fixture(scope="session")
def compiler():
    found = shutil.which(os.environ.get("CC", "gcc")) if sys.platform == "linux" else None
    return found or pytest.skip("needs Linux and gcc (or $CC)")


@pytest.fixture
def sanitizers(compiler):
    """The run-time libraries, which must be loaded before Python's own."""
    names = [run(compiler, f"-print-file-name=lib{name}.so") for name in ("asan", "ubsan")]
    paths = [name.stdout.strip() for name in names]
    if not all(Path(path).is_absolute() for path in paths):
        pytest.skip(f"{compiler} has no sanitizers here")
    return " ".join(paths)


def test_a_storm(compiler, sanitizers, tmp_path):
    module = tmp_path / f"_items{sysconfig.get_config_var('EXT_SUFFIX')}"
    include = f"-I{sysconfig.get_path('include')}"
    sources = sorted(CORE.glob("items/*.c"))
    shared = ["-shared", "-fPIC", "-fwrapv", "-Wall", "-Wextra", "-Werror"]
    built = run(compiler, *shared, *FLAGS, f"-I{CORE}", include, *sources, "-o", module)
    assert built.returncode == 0, built.stderr
    storm = run(
        *(sys.executable, STORM, "--seconds", "1.5", "--module", module),
        LD_PRELOAD=sanitizers,
        ASAN_OPTIONS="detect_leaks=0",
        PYTHONMALLOC="malloc",
        PENSTOCK_CORE="native",
    )
    assert (storm.returncode, storm.stderr) == (0, ""), storm.stdout + storm.stderr
    assert storm.stdout.count("none lost or doubled") == 3
