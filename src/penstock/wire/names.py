"""Names and ids on the wire: text that every broker and store can keep."""

from __future__ import annotations

from typing import Any, TypeGuard

__all__ = ["MAX_NAME", "is_name", "is_utf8"]

MAX_NAME = 1024  # characters


def is_name(value: Any) -> TypeGuard[str]:
    """True for text of 1 to 1024 characters that UTF-8 can write."""
    return isinstance(value, str) and 0 < len(value) <= MAX_NAME and is_utf8(value)


def is_utf8(text: str) -> bool:
    """False for text with lone surrogates: JSON can spell them, databases and keys cannot."""
    if text.isascii():
        return True
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
