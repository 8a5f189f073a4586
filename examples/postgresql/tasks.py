import os

from penstock import App

DATABASE = os.environ.get("DATABASE", "postgresql:///shop")
app = App("tasks", broker=DATABASE)


@app.task
def confirm(order: int) -> str:
    return f"order {order} is confirmed"
