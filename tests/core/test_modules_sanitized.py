"""Extension modules that need no other process, under address and undefined sanitizers."""

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
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


@pytest.fixture
def build(compiler, tmp_path):
    """Gives the module made from a folder's sources."""

    def make(folder):
        module = tmp_path / f"_{folder.name}{sysconfig.get_config_var('EXT_SUFFIX')}"
        include = [f"-I{folder.parent}", f"-I{sysconfig.get_path('include')}"]
        shared = ["-shared", "-fPIC", "-fwrapv", "-Wall", "-Wextra", "-Werror"]
        sources = sorted(folder.glob("*.c"))
        built = run(compiler, *shared, *FLAGS, *include, *sources, "-o", module)
        assert built.returncode == 0, built.stderr
        return module

    return make


def sanitized(sanitizers, *command):
    done = run(
        *(sys.executable, *command),
        LD_PRELOAD=sanitizers,
        ASAN_OPTIONS="detect_leaks=0",
        PYTHONMALLOC="malloc",
        PENSTOCK_CORE="native",
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr


def test_queues_between_threads_in_a_storm(sanitizers, build):
    module = build(ROOT / "src/penstock/queues/_core/items")
    sanitized(sanitizers, STORM, "--seconds", "1.5", "--module", module)


CALLS = """
import random, sys
from importlib.util import module_from_spec, spec_from_file_location
from penstock._core import twin_calls

spec = spec_from_file_location("_calls", sys.argv[1])
core = module_from_spec(spec)
spec.loader.exec_module(core)
signs = [*map(chr, range(129)), "ä"]
for _ in range(20_000):
    text = "".join(random.choices(signs, k=random.choice([0, 5, 100, 505, 508, 520, 2000])))
    number = random.getrandbits(random.randrange(1, 80)) * random.choice([1, -1])
    args = tuple(random.choices([True, None, number, text, 1.5, 7], k=random.randrange(40)))
    call = ("id", "root", args, b'"lang":"py"}', b",{}]")
    assert core.pack(*call) == twin_calls.pack(*call), args
assert len(set(core.new_ids(10_000)) | {core.new_id()}) == 10_001
"""


def test_the_text_of_calls(sanitizers, build):
    sanitized(sanitizers, "-c", CALLS, build(ROOT / "src/penstock/_core/calls"))
