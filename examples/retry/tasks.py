from pathlib import Path

from penstock import App

app = App("tasks")
DOOR = Path("door-is-open")


@app.task(autoretry_for=(ConnectionError,), max_retries=5, retry_backoff=True)
def fetch(name: str) -> str:
    """Fails until the door is open; tried again after up to 1 s, 2 s, 4 s and so on."""
    if not DOOR.exists():
        raise ConnectionError(f"nobody answers for {name}")
    return f"{name} fetched"


@app.task(bind=True, max_retries=3)
def knock(self) -> str:
    """Decides for itself when to try again; its third run opens the door."""
    if self.request.retries == 2:
        DOOR.touch()
        return "opened at the third knock"
    raise self.retry(countdown=0.1)
