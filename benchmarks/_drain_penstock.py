"""The app under measurement; see drain.py."""

from _marks import mark

from penstock import App

app = App("drain")


@app.task(name="run")
def run(number: int) -> int:
    mark(number)
    return number
