"""The app under the storm: its tasks say themselves when they start and end."""

import os
import time

from penstock import App

# Without STORM_URL on the embedded default. The storm may well meet one task three times.
url = os.environ.get("STORM_URL")
app = App("storm", crash_limit=1_000, **({"broker": url, "backend": url} if url else {}))
_journal = os.open("journal", os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)


def note(*words):
    """One line in one write: it outlives whoever wrote it."""
    os.write(_journal, (" ".join(map(str, (time.monotonic_ns(), *words))) + "\n").encode())


@app.task(bind=True, name="work")
def work(self, number, seconds):
    note("start", number, os.getpid(), self.request.attempt)
    time.sleep(seconds)  # the work itself: what the storm interrupts
    note("end", number, os.getpid())
    return number
