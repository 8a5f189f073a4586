r"""Text from elsewhere, made fit for logs and screens.

A task's name, an id, an exception's text may hold what moves a terminal's cursor, hides what stands
before it or begins a log line of its own. Shown are the characters' names instead: ``\x1b``.
"""

from __future__ import annotations

import re

__all__ = ["escaped_json", "many_lines", "one_line"]

# Control characters (C0, DEL, C1), separators of lines and paragraphs, marks that turn the reading
# direction or are not seen, and lone surrogates, which no stream can write.
_BEYOND_ASCII = (
    "\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ud800-\udfff\ufeff"
    "\U000e0000-\U000e007f"
)
_UNFIT = re.compile(f"[\x00-\x1f{_BEYOND_ASCII}]")
_UNFIT_BUT_LINES = re.compile(f"[\x00-\x08\x0b-\x1f{_BEYOND_ASCII}]")
_UNFIT_IN_JSON = re.compile(f"[{_BEYOND_ASCII}]")


def one_line(text: str) -> str:
    """The text on one line, with names in the place of characters that are not to be printed."""
    return text if text.isprintable() else _UNFIT.sub(_name, text)


def many_lines(text: str, indent: str = "") -> str:
    """The same for text that may have lines and tabs; each line after ``indent``."""
    if not text.isprintable():
        text = _UNFIT_BUT_LINES.sub(_name, text)
    return indent + text.replace("\n", f"\n{indent}") if indent else text


def escaped_json(text: str) -> str:
    """JSON text that says the same, without characters of that kind in its strings."""
    return text if text.isascii() and "\x7f" not in text else _UNFIT_IN_JSON.sub(_in_json, text)


def _name(found: re.Match[str]) -> str:
    return found[0].encode("unicode_escape").decode("ascii")


def _in_json(found: re.Match[str]) -> str:
    units = found[0].encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{units[at : at + 4]}" for at in range(0, len(units), 4))
