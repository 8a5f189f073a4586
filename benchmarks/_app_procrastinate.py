"""The peer under measurement; see postgres_drain.py. It stores no results."""

import os

import procrastinate
from _marks import mark, shout

app = procrastinate.App(connector=procrastinate.PsycopgConnector(conninfo=os.environ["PG_URL"]))


@app.task(name="run")
async def run(number):
    mark(number)
    return number


@app.task(name="tell")
async def tell(number):
    shout(number)
