"""The app under measurement; see drain.py."""

import json
import os

from _marks import mark

from penstock import App

app = App("drain", **json.loads(os.environ.get("APP", "{}")))


@app.task(name="run")
def run(number: int) -> int:
    mark(number)
    return number
