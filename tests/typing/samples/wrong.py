"""What a type checker must refuse: each line with a comment, with that error and no other."""

from typing import Any

from penstock import App, Task

app = App("tasks")


@app.task
def add(x: int, y: int) -> int:
    return x + y


@app.task(bind=True)
def pay(self: Task[..., Any], order: str) -> float:
    return 1.0


@app.task
async def fetch(url: str) -> bytes:
    return url.encode()


add.delay("4", 4)  # E: arg-type
add.delay(4)  # E: call-arg
add.delay(4, 4, 4)  # E: call-arg
add.delay(4, z=4)  # E: call-arg
add("4", 4)  # E: arg-type
pay.delay(7)  # E: arg-type
pay.delay("a", "b")  # E: call-arg
fetch.delay(b"a")  # E: arg-type
text: str = add.delay(4, 4).get()  # E: assignment
add.apply_async((4, 4), countdwn=10)  # E: call-arg
add.apply_async((4, 4), priority="urgent")  # E: arg-type
add.apply_async((4, 4), countdown="soon")  # E: arg-type
app.task(max_retrys=3)  # E: call-overload
app.task(queue=3)  # E: call-overload
app.conf.lease_time = "long"  # E: assignment


async def main() -> None:
    await add.adelay("4", 4)  # E: arg-type
    await fetch(7)  # E: arg-type
