"""Dead letters: whoever was buried is listed, until it is replayed or dropped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from penstock.message import Dead, DeadLetter, Message
from penstock.testing.simulation.publication import Publication
from penstock.testing.simulation.violation import Violation

__all__ = ["Burials"]


class Burials:
    """The dead letters that a broker should show."""

    def __init__(self, pubs: Mapping[str, Publication]) -> None:
        self._pubs = pubs
        self._letters: dict[str, Publication] = {}

    def add(self, publication: Publication) -> None:
        """Its holder buried it."""
        self._letters[publication.key] = publication

    def listed(self, letters: Sequence[DeadLetter]) -> None:
        """Somebody lists them all."""
        listed = {letter.message.key for letter in letters}
        for letter in letters:
            if letter.message.key not in self._letters:
                self._accept(letter)
        missing = [pub for key, pub in self._letters.items() if key not in listed]
        if missing:
            raise Violation("dead letter", f"{missing[0].name} is dead and not listed")

    def _accept(self, letter: DeadLetter) -> None:
        """One that nobody saw buried: its holder may have died before it heard."""
        pub = self._pubs.get(letter.message.key)
        doubts = pub.in_doubt.get(pub.fence, []) if pub else []
        if pub is None or pub.end or not any(isinstance(one, Dead) for one in doubts):
            name = pub.name if pub else letter.message.key
            raise Violation("dead letter", f"{name} is listed, and nobody buried it")
        pub.end, pub.end_fence = "dead, as it turned out", pub.fence
        self._letters[pub.key] = pub

    def replayed(self, keys: Sequence[str], messages: Sequence[Message]) -> None:
        """Some were sent again."""
        expected = [self._letters.pop(key).message.id for key in keys if key in self._letters]
        if sorted(message.id for message in messages) != sorted(expected):
            raise Violation("dead letter", f"{expected} were replayed, {messages} came")

    def dropped(self, keys: Sequence[str], count: int) -> None:
        """Some were forgotten."""
        expected = sum(self._letters.pop(key, None) is not None for key in keys)
        if count != expected:
            raise Violation("dead letter", f"{count} were dropped, not {expected}")

    def __repr__(self) -> str:
        return f"Burials({len(self._letters)})"
