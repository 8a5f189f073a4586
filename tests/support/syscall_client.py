"""Sends a few tasks and writes down what it was told: run under `strace`, which fails its calls.

strace … python syscall_client.py URL HISTORY
"""

import sys

from penstock import App, PenstockError, Unavailable
from penstock.testing.history import Recorder

url, path = sys.argv[1:]
history = Recorder(path)
app = App("sweep", broker=url, backend=url, publish_timeout=0.3)


@app.task(name="echo")
def echo(text):
    return text


for number in range(4):
    name = f"t{number}"
    history.note("send", phase="invoke", id=name)
    try:
        echo.apply_async(("x" * 3000,), task_id=name)
    except Unavailable:
        history.note("send", phase="fail", id=name)
    except PenstockError as error:
        history.note("send", phase="info", id=name, why=repr(error))
    else:
        history.note("send", phase="ok", id=name)
app.close()
history.note("setup", finished=True)
