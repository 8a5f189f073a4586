"""Builds the C programs beside this file, with and without sanitizers; makes native rings."""

import functools
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

HERE = Path(__file__).parent
CORE = HERE.parents[1] / "src/penstock/queues/_core"
WARNINGS = ["-Wall", "-Wextra", "-Werror", "-Wno-tsan"]  # tsan: it cannot follow our fences


def _is_plain_c(path):
    """Whether it knows nothing of Python, and so belongs into these programs."""
    text = path.read_text("utf-8")
    return (
        not any(f'"{name}"' in text for name in ("items.h", "object.h"))
        and "<Python.h>" not in text
    )


def _compile(compiler, sources, flags, program):
    command = [compiler, "-g", "-O1", "-std=gnu11", *flags, f"-I{CORE}", *sources, "-o", program]
    return _run([*command, "-lpthread"])


def _run(command):
    return subprocess.run(
        [str(word) for word in command], capture_output=True, text=True, timeout=100, check=False
    )


@pytest.fixture(scope="session")
def compiler():
    found = shutil.which(os.environ.get("CC", "gcc")) if sys.platform == "linux" else None
    return found or pytest.skip("the C core is Linux's and needs a C compiler (gcc, or $CC)")


@pytest.fixture(scope="session")
def build(compiler, tmp_path_factory):
    """`build(name, *flags)` gives the program made from `name`.c and the ring."""
    folder = tmp_path_factory.mktemp("core")
    ring = [path for path in sorted(CORE.glob("ring/*.c")) if _is_plain_c(path)]
    probe = folder / "probe.c"
    probe.write_text("int main(void) { return 0; }")

    def works(flags):
        """A sanitizer may be missing, or not get along with this kernel."""
        tried = _compile(compiler, [probe], flags, folder / "probe")
        return tried.returncode == 0 and _run([folder / "probe"]).returncode == 0

    @functools.cache
    def make(name, *flags):
        if not works(flags):
            pytest.skip(f"{compiler} {' '.join(flags)} makes no program that runs here")
        program = folder / "-".join([name, *flags]).replace("=", "-").replace(",", "-")
        made = _compile(compiler, [HERE / f"{name}.c", *ring], [*WARNINGS, *flags], program)
        assert made.returncode == 0, made.stderr
        return program

    return make


@pytest.fixture(scope="session")
def run():
    """Runs a program to its end; its output when it failed is the test's."""

    def perform(program, *arguments):
        done = _run([program, *arguments])
        assert done.returncode == 0, f"exit {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    return perform


class Files:
    """Where items go that are larger than half a ring: a dict will do here."""

    def __init__(self):
        self.kept = {}

    def store(self, parts):
        name = f"item-{len(self.kept)}".encode()
        self.kept[name] = b"".join(parts)
        return name

    def load(self, name):
        return self.kept[name]

    def drop(self, name):
        del self.kept[name]


@pytest.fixture
def files():
    return Files()


@pytest.fixture(scope="session")
def native():
    return pytest.importorskip("penstock.queues._core._ring", reason="the C core is not compiled")


@pytest.fixture
def make_ring(native, files):
    """`make_ring(maxsize=…, max_bytes=…)`: a ring in memory of its own; `.fd` attaches to it."""
    made = []

    def make(maxsize=0, max_bytes=1 << 16, spill=files):
        fd = os.memfd_create("ring")
        ring = native.Ring(fd, maxsize=maxsize, max_bytes=max_bytes, spill=spill, create=True)
        made.append((ring, fd))
        return ring

    make.fd = lambda ring: next(fd for each, fd in made if each is ring)
    yield make
    for ring, fd in made:
        ring.close()
        os.close(fd)


@pytest.fixture
def until():
    """Waits for a condition that another thread or process brings about."""

    def wait(condition, seconds=10):
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, "it did not come about"
            time.sleep(0.0005)

    return wait
