"""`penstock tend` runs until it is interrupted, and then ends well."""

import signal
import subprocess
import sys

import pytest

URL = "sqlite:///jobs.db"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_ends_it_with_success(folder, number):
    process = subprocess.Popen(
        [sys.executable, "-m", "penstock", "--broker", URL, "tend"],
        cwd=folder,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stderr.readline() == "Tending; stop with Ctrl-C.\n"
        process.send_signal(number)
        _, rest = process.communicate(timeout=10)
    assert (process.returncode, rest) == (0, "")
