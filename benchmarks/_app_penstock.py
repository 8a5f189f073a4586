"""The app under measurement; see _systems.py and drain.py."""

import asyncio
import json
import os

from _marks import mark, note_late, shout

from penstock import App

KEPT = bool(os.environ.get("RESULTS", "1"))
app = App("bench", **json.loads(os.environ.get("APP", "{}")))


@app.task(name="run", ignore_result=not KEPT)
def run(number: int) -> int:
    mark(number)
    return number


@app.task(name="nap", ignore_result=not KEPT)
async def nap(number: int) -> None:
    await asyncio.sleep(0.01)
    mark(number)


@app.task(name="take", ignore_result=not KEPT)
def take(number: int, payload: str) -> None:
    mark(number)


@app.task(name="tell", ignore_result=not KEPT)
def tell(number: int) -> int:
    shout(number)
    return number


@app.task(name="late", ignore_result=not KEPT)
def late(due: float) -> None:
    note_late(due)
