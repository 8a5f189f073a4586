"""A few hundred inputs for every parser; `make fuzz` gives more, for as long as wished."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
FUZZ = HERE / "fuzz.py"
GROUPS = sorted(path.stem for path in HERE.glob("*_target*.py"))


def run(*words):
    command = [sys.executable, str(FUZZ), *words]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


def names_of(group):
    program = f"import {group}; print(*(one.name for one in {group}.TARGETS), sep='\\n')"
    path = os.pathsep.join([str(HERE), str(HERE.parent / "support")])
    told = subprocess.check_output(
        [sys.executable, "-c", program], text=True, env=os.environ | {"PYTHONPATH": path}
    )
    return told.splitlines()


@pytest.mark.parametrize("group", GROUPS)
def test_no_input_is_a_finding(group):
    names = names_of(group)
    assert names
    done = run(*names, "--inputs", "100", "--seed", "11")
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(names)} of {len(names)} targets without a finding" in done.stdout


PLANTED = """
import os, sys, time
sys.path[:0] = [{here!r}, {support!r}]
import fuzz
from target import Target

def read(data, chance):
    if chance.random() < 0.01:
        {fault}

target = Target("planted", lambda: [b"x"], read)
fuzz.STUCK, fuzz.SLOW = 1.0, 0.2
try:
    fuzz.fuzz(target, inputs=2000, seconds=60, seed=5)
except fuzz.Finding as finding:
    print("FINDING", finding)
"""


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        ("raise KeyError('x')", "planted: again by"),
        ("os.kill(os.getpid(), 11)", "SIGSEGV"),
        ("time.sleep(60)", "SIGALRM"),
        ("sum(range(10**9))", "planted:"),
        ("bytearray(1 << 31)", "planted: again by"),
    ],
)
def test_the_harness_sees(fault, told):
    program = PLANTED.format(here=str(HERE), support=str(HERE.parent / "support"), fault=fault)
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=60
    )
    assert told in done.stdout, done.stdout + done.stderr
    assert "--inputs 1 --seed" in done.stdout
