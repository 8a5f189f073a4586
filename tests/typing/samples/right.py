"""What a type checker accepts, and what it finds the types to be."""

from typing import Any, assert_type

from penstock import App, AsyncResult, Task

app = App("tasks", task_default_queue="celery")


@app.task
def add(x: int, y: int = 1) -> int:
    return x + y


@app.task(queue="slow", priority="high", autoretry_for=(OSError,), retry_backoff=True)
def ship(order: str, *, fast: bool = False) -> str:
    return order


@app.task(bind=True, max_retries=5)
def pay(self: Task[..., Any], order: str) -> float:
    if self.request.retries > 1:
        raise self.retry(countdown=5)
    self.update_state("PAYING", {"order": order})
    return 1.0


@app.task
async def fetch(url: str) -> bytes:
    return url.encode()


@app.task(bind=True)
async def fetch_bound(self: Task[..., Any], url: str) -> bytes:
    return url.encode()


@app.task(name="shop.mail")
async def mail(to: str) -> None:
    pass


assert_type(add.delay(1, 2), AsyncResult[int])
assert_type(add.delay(1, y=2).get(timeout=1), int)
assert_type(add(1, 2), int)
assert_type(ship.delay("a", fast=True), AsyncResult[str])
assert_type(pay.delay("a"), AsyncResult[float])
assert_type(pay("a"), float)
assert_type(fetch.delay("a"), AsyncResult[bytes])
assert_type(fetch_bound.delay("a").get(), bytes)
assert_type(mail.apply_async(("a",), countdown=5, priority="low"), AsyncResult[None])
assert_type(add.send_many([(1, 1), (2, 2)]), list[AsyncResult[int]])
assert_type(app.AsyncResult("id").state, str)


async def main() -> None:
    assert_type(await add.adelay(1, 2), AsyncResult[int])
    assert_type(await add.delay(1, 2), int)
    assert_type(await add.delay(1, 2).aget(timeout=1), int)
    assert_type(await fetch("a"), bytes)
    assert_type(await fetch_bound("a"), bytes)
    await add.aapply_async((1, 2), eta=12.0)
