"""What this process holds of one queue: items, and the leases that they stand for."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from penstock.message import Lease

__all__ = ["Custody", "Held"]


class Held:
    """One item that somebody here has got and not yet settled.

    The flags are guarded by the lock of its custody.
    """

    __slots__ = ("busy", "item", "lease", "left", "lost", "taken")

    def __init__(self, item: Any, lease: Lease, *, taken: bool = False) -> None:
        self.item = item
        self.lease = lease
        self.taken = taken  # a `with` block or a loop settles it
        self.busy = False  # somebody is settling it
        self.lost = False  # the broker said so when it was to be renewed
        self.left = False  # whoever had it is gone; set without the lock

    def __repr__(self) -> str:
        return f"<held item {self.lease.message.key}{', lost' if self.lost else ''}>"


class Custody:
    """Items by identity; for any number of threads. A forked child starts with none.

    An item is what was given out, that very object, so that it may be changed meanwhile and need
    not be hashable. A copy is found by its value, if it has the same type. Of several that are
    equal, numbers say, the one got first is found: they stand for the same work.
    """

    def __init__(self) -> None:
        self.closed = False
        self.process_ends = False
        self.start_afresh()

    def start_afresh(self) -> None:
        """Hold nothing: what a forked child inherits is its parent's."""
        self._lock = threading.Lock()
        self._held: dict[int, list[Held]] = {}  # by the identity of the item

    def admit(self, held: Iterable[Held]) -> bool:
        """Hold these, too; False, and nothing, once it is closed."""
        with self._lock:
            if not self.closed:
                for one in held:
                    self._held.setdefault(id(one.item), []).append(one)
            return not self.closed

    def seize(self, items: Sequence[Any]) -> list[Held]:
        """Those that stand for the items, each for its finder alone until kept or let go.

        Raises ValueError, and then seizes none, for an item that is not held.
        """
        found: list[Held] = []
        with self._lock:
            for item in items:
                one = self._find(item)
                if one is None:
                    for earlier in found:
                        earlier.busy = False
                    raise _not_held(item)
                one.busy = True
                found.append(one)
        return found

    def seize_one(self, one: Held) -> bool:
        """Seize this one; False where it is being settled, or was."""
        with self._lock:
            free = not one.busy and one in self._held.get(id(one.item), ())
            if free:
                one.busy = True
            return free

    def _find(self, item: Any) -> Held | None:
        return _free(self._held.get(id(item), ())) or _free(
            one for one in self._all() if type(one.item) is type(item) and one.item == item
        )

    def _all(self) -> Iterator[Held]:
        return (one for alike in self._held.values() for one in alike)

    def look_up(self, item: Any) -> Held:
        """The one that stands for the item, left as it is; ValueError where there is none."""
        with self._lock:
            one = self._find(item)
        if one is None:
            raise _not_held(item)
        return one

    def keep(self, held: Iterable[Held]) -> None:
        """They could not be settled and may be seized again."""
        with self._lock:
            for one in held:
                one.busy = False

    def let_go(self, held: Iterable[Held]) -> None:
        """Hold these no longer."""
        with self._lock:
            for one in held:
                alike = self._held.get(id(one.item), [])
                if one in alike:
                    alike.remove(one)
                if not alike:
                    self._held.pop(id(one.item), None)

    def to_renew(self) -> list[Held]:
        """Those whose leases somebody still needs."""
        with self._lock:
            return [one for one in self._all() if not one.lost]

    def renewed(self, asked: Sequence[Held], still: Sequence[Lease]) -> list[Held]:
        """Note what the broker said; gives those that turned out to be lost."""
        leases = {lease.message.key: lease for lease in still}
        gone = []
        with self._lock:
            for one in asked:
                lease = leases.get(one.lease.message.key)
                if lease is not None:
                    one.lease = lease
                elif not one.busy and one in self._held.get(id(one.item), ()):
                    one.lost = True
                    gone.append(one)
        return gone

    def left_behind(self) -> list[Held]:
        """Those whose loop was left."""
        with self._lock:
            return [one for one in self._all() if one.left]

    def close(self, *, process_ends: bool = False) -> list[Held]:
        """Admit nothing any more; gives what is to be returned, and holds it no longer.

        That is what nobody settles now, and unless the process ends not what a block or a loop
        holds that still runs.
        """
        with self._lock:
            self.closed = True
            self.process_ends |= process_ends
            back = [
                one
                for one in self._all()
                if not one.busy and (process_ends or one.left or not one.taken)
            ]
        self.let_go(back)
        return back

    def __len__(self) -> int:
        with self._lock:
            return sum(map(len, self._held.values()))

    def __repr__(self) -> str:
        return f"<custody of {len(self)} items>"


def _not_held(item: Any) -> ValueError:
    return ValueError(
        f"{item!r:.200} is not held here: it was not got from this queue by this process, or has "
        "been settled before"
    )


def _free(candidates: Iterable[Held]) -> Held | None:
    """The first that may be seized: one that no `with` block settles, if there is such a one."""
    free = [one for one in candidates if not one.busy]
    return next((one for one in free if not one.taken), free[0] if free else None)
