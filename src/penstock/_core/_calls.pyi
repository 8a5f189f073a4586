"""What every call that is sent passes through, compiled; ``calls/module.c`` is its source.

:mod:`penstock._core.twin_calls` is the same in Python, and says what each of them gives.
"""

from collections.abc import Sequence
from typing import Any

def new_id() -> str: ...
def new_ids(count: int, /) -> list[str]: ...
def reseed() -> None: ...
def pack(
    id: str, root: str, args: Sequence[Any], same: bytes, follows: bytes, /
) -> tuple[bytes, bytes] | None: ...
