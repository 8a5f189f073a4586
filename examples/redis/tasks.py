import os

from penstock import App

server = os.environ.get("REDIS", "redis://localhost:6379")
app = App("tasks", broker=f"{server}/5", backend=f"{server}/6")


@app.task
def add(x: int, y: int) -> int:
    return x + y
