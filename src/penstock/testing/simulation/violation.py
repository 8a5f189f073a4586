"""What the simulation raises when a promise is broken."""

from __future__ import annotations

__all__ = ["Violation"]


class Violation(AssertionError):
    """A promise was broken: ``rule`` names it in a word, the text says what happened."""

    def __init__(self, rule: str, text: str) -> None:
        super().__init__(f"{rule}: {text}")
        self.rule = rule
