"""The pipe's core without Python: under the sanitizers, damaged, and killed at each store."""

import subprocess
from functools import cache
from pathlib import Path

import pytest

HERE = Path(__file__).parent
CORE = HERE.parents[1] / "src/penstock/queues/_core"
PLAIN = [CORE / "pipe" / f"{name}.c" for name in ("bell", "side", "frames", "segment")]
WARNINGS = ["-Wall", "-Wextra", "-Werror"]

ADDRESS = ("-fsanitize=address,undefined", "-fno-sanitize-recover=undefined")
THREAD = ("-fsanitize=thread",)
FOREVER = "-DPATIENCE=(1000*CLOCK_SECOND)"  # who is overlooked hangs: no timeout comes to help
IMPATIENT = "-DPATIENCE=(CLOCK_SECOND/500)"
CRASHES = "-DPENSTOCK_CRASH_POINTS"


@pytest.fixture(scope="module")
def build_pipe(compiler, tmp_path_factory):
    """`build_pipe(name, *flags)` gives the program made from pipe_`name`.c and the core."""
    folder = tmp_path_factory.mktemp("pipe")

    def compiled(program, sources, flags):
        command = [compiler, "-g", "-O1", "-std=gnu11", *flags, f"-I{CORE}", *sources]
        command += ["-o", program, "-lpthread"]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    @cache
    def usable(flags):
        """A sanitizer may be missing, or not get along with this kernel."""
        source, program = folder / "probe.c", folder / "probe"
        source.write_text("int main(void) { return 0; }")
        if compiled(program, [source], flags).returncode:
            return False
        return subprocess.run([program], capture_output=True, check=False).returncode == 0

    @cache
    def make(name, *flags):
        if not usable(flags):
            pytest.skip(f"{compiler} {' '.join(flags)} makes no program that runs here")
        program = folder / f"{name}{len(list(folder.iterdir()))}"
        done = compiled(program, [HERE / f"pipe_{name}.c", *PLAIN], [*WARNINGS, *flags])
        assert done.returncode == 0, done.stderr
        return program

    return make


@pytest.mark.parametrize("mode", ["wait", "select", "now"])
@pytest.mark.parametrize("sanitizer", [ADDRESS, THREAD], ids=["address", "thread"])
def test_one_thread_at_each_end(build_pipe, run, sanitizer, mode):
    program = build_pipe("threads", FOREVER, *sanitizer)
    assert run(program, 1, 1, 20000, mode) == "20000 messages\n"


@pytest.mark.parametrize("sanitizer", [ADDRESS, THREAD], ids=["address", "thread"])
def test_threads_that_share_the_ends(build_pipe, run, sanitizer):
    program = build_pipe("threads", FOREVER, *sanitizer)
    assert run(program, 3, 3, 4000, "wait") == "12000 messages\n"


@pytest.mark.parametrize("waits", ["futex", "select"])
@pytest.mark.parametrize("holders", ["alone", "shared"])
@pytest.mark.parametrize("victim", ["sender", "receiver"])
def test_killed_at_each_store(build_pipe, run, victim, holders, waits):
    told = run(build_pipe("crash", CRASHES, IMPATIENT), victim, holders, waits)
    assert int(told.split()[0]) > 40  # so many places to die at


def test_a_bell_step_by_step(build_pipe, run):
    run(build_pipe("bell", *ADDRESS))


@pytest.mark.parametrize("seed", range(3))
def test_damaged_memory_is_noticed(build_pipe, run, seed):
    run(build_pipe("damage", *ADDRESS), seed, 5000)
