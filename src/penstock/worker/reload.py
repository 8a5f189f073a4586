"""``--reload``: the worker begins anew when a source file changes. For development.

It looks at the times of the ``.py`` files below the current folder twice a second, which costs a
small project nothing that matters and needs no library.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["reloading", "sources"]

_PAUSE = 0.5  # seconds
_SKIPPED = {"__pycache__", "node_modules"}


def sources(folder: Path) -> dict[str, tuple[int, int]]:
    """Each source file below the folder, with what changes when it does.

    Hidden folders and virtual environments are left out.
    """
    found = {}
    for place, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if _is_ours(place, name)]
        for name in files:
            if name.endswith(".py"):
                path = os.path.join(place, name)  # noqa: PTH118 - a Path for each file takes longer
                try:
                    state = os.stat(path)  # noqa: PTH116
                except OSError:  # an editor puts a new file in its place just now
                    continue
                found[path] = (state.st_mtime_ns, state.st_size)
    return found


def _is_ours(place: str, name: str) -> bool:
    return not (
        name.startswith(".") or name in _SKIPPED or Path(place, name, "pyvenv.cfg").exists()
    )


@contextmanager
def reloading(changed: Callable[[], None], *, folder: Path) -> Iterator[None]:
    """Call ``changed`` once, from another thread, when a source changes within the block."""
    over = threading.Event()
    before = sources(folder)

    def watch() -> None:
        while not over.wait(_PAUSE):
            if sources(folder) != before:
                changed()
                return

    thread = threading.Thread(target=watch, daemon=True, name="reload")
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
