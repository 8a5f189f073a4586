"""SQL from files: each statement has a name, and the reason why it is as it is, beside it."""

from __future__ import annotations

from importlib.resources import files

__all__ = ["Statements"]

_NAME = "-- name: "


class Statements:
    """The statements in a package's ``.sql`` files, as attributes; read on first use.

    A line ``-- name: claim`` begins the statement ``claim``; other comments stay in the file.
    """

    def __init__(self, package: str) -> None:
        self._package = package

    def __getattr__(self, name: str) -> str:
        """Read all files once; from then on the statements are plain attributes."""
        if name.startswith("_"):
            raise AttributeError(name)
        for file in files(self._package).iterdir():
            if file.name.endswith(".sql"):
                self.__dict__.update(_statements(file.read_text("utf-8")))
        if name not in self.__dict__:
            raise AttributeError(f"no SQL statement {name} in {self._package}")
        found: str = self.__dict__[name]
        return found

    def __repr__(self) -> str:
        return f"Statements({self._package!r})"


def _statements(text: str) -> dict[str, str]:
    _, *parts = text.split(_NAME)
    return {name.strip(): _bare(sql) for name, _, sql in (part.partition("\n") for part in parts)}


def _bare(sql: str) -> str:
    lines = (line.partition("--")[0].strip() for line in sql.splitlines())
    return " ".join(line for line in lines if line).removesuffix(";")
