"""The types that users see, as a type checker sees them."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

SAMPLES = Path(__file__).parent / "samples"
ERROR = re.compile(r"^.*?:(\d+): error: .*\[([\w-]+)\]$", re.MULTILINE)

pytest.importorskip("mypy")


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """What mypy finds: for each sample its errors as (line, code)."""
    cache = tmp_path_factory.mktemp("mypy")
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file=", f"--cache-dir={cache}"]
    samples = sorted(SAMPLES.glob("*.py"))
    run = subprocess.run(
        [*command, *map(str, samples)], capture_output=True, text=True, cwd=SAMPLES, check=False
    )
    assert run.returncode in {0, 1}, run.stderr
    errors = {sample.name: set() for sample in samples}
    for line in run.stdout.splitlines():
        match = ERROR.match(line)
        if match:
            name = Path(line.partition(":")[0]).name
            errors.setdefault(name, set()).add((int(match[1]), match[2]))
    return errors


def expected(name):
    lines = (SAMPLES / name).read_text().splitlines()
    return {
        (number, line.rpartition("# E: ")[2])
        for number, line in enumerate(lines, 1)
        if "# E: " in line
    }


def test_right_uses_are_accepted(found):
    assert found["right.py"] == set()


def test_wrong_uses_are_refused_each_with_its_error(found):
    assert found["wrong.py"] == expected("wrong.py")
