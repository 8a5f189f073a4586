"""What the words of the Python twin's ring mean, and every change that is made to them.

All of it is called inside the section, and changes all words that belong together in one commit.
Positions are bytes that were ever put or taken; a record at one of them is a header {bytes in the
ring, bytes of payload, kind} and its payload. A process has a slot, where it is noted what it
holds: so much was taken and not reported as done.
"""

from __future__ import annotations

import os
import struct
from typing import NamedTuple

from penstock.errors import QueueError
from penstock.queues._core.twin_ring_items import Packed
from penstock.queues._core.twin_ring_memory import Memory
from penstock.queues._core.twin_ring_processes import is_alive, started

__all__ = ["DROPPING", "SHUT", "SPILLED", "Record", "State"]

HEAD, TAIL, PUTS, GETS, FINISHED, DONE, LOST, DROPPED, SPILLS, FLAGS = range(10)
_SLOTS = range(16, 16 + 128 * 8, 8)
PID, START, USERS, COUNTS, HELD, LAST, GETTING, PUTTING = range(8)  # of a slot
SHUT = 1
DROPPING = 2
SPILLED = 0x80  # of a record's kind: the payload is the name of a file
_HEADER = struct.Struct("<2Q")  # bytes in the ring; bytes of payload << 8 | kind
_DAMAGED = "the queue's memory is damaged: make a new queue"


class Record(NamedTuple):
    """One item in the ring."""

    kind: int
    data: bytes


class State:
    """The words of one ring, as one process sees and changes them."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory
        self._words = memory.words
        self._bytes = memory.plan.capacity
        self._maxsize = memory.plan.maxsize
        self.largest = self._bytes // 2 - _HEADER.size
        self.slot = 0  # 0: none yet

    def __getitem__(self, word: int) -> int:
        return self._words[word]

    @property
    def size(self) -> int:
        """Items in the ring."""
        words = self._words
        size = words[PUTS] - words[GETS] - words[DROPPED]
        if not 0 <= size <= self.used <= self._bytes:
            raise ValueError(_DAMAGED)
        return size

    @property
    def used(self) -> int:
        """Bytes in use."""
        return self._words[TAIL] - self._words[HEAD]

    @property
    def unfinished(self) -> int:
        """Items that were put and are not done."""
        return self._words[PUTS] - self._words[FINISHED]

    def add(self, changes: dict[int, int]) -> None:
        """To each of these words so much."""
        self._memory.commit({word: self._words[word] + more for word, more in changes.items()})

    # --- putting ---------------------------------------------------------------------------------

    def need(self, packed: Packed) -> int:
        """Bytes that it takes in the ring."""
        return self._bytes // 2 if packed.kind & SPILLED else _HEADER.size + packed.size

    def has_room(self, need: int, items: int = 0, used: int = 0) -> bool:
        """Whether that much fits in, behind so many items and bytes that are on their way."""
        if self._maxsize and self.size + items >= self._maxsize:
            return False
        return self.used + used + need <= self._bytes

    def put(self, messages: list[Packed]) -> int:
        """How many went in: the first ones."""
        size, used, spilled = 0, 0, 0
        for packed in messages:
            need = self.need(packed)
            if not self.has_room(need, size, used):
                break
            self._write(self._words[TAIL] + used, need, packed)
            size, used = size + 1, used + need
            spilled += packed.kind & SPILLED == SPILLED
        if size:
            self.add({TAIL: used, PUTS: size, SPILLS: spilled})
        return size

    def _write(self, at: int, need: int, packed: Packed) -> None:
        header = _HEADER.pack(need, packed.size << 8 | packed.kind)
        for part in (memoryview(header), *packed.parts):
            self._memory.write(at, part)
            at += part.nbytes

    # --- taking ----------------------------------------------------------------------------------

    def take(self, limit: int) -> list[Record]:
        """The oldest ones, which count as taken by this process."""
        records, head = self._read(min(limit, self.size))
        words, slot = self._words, self.slot
        # Who asks for more has dealt with what came before.
        if records or words[slot + LAST]:
            self._memory.commit(
                {
                    HEAD: head,
                    GETS: words[GETS] + len(records),
                    slot + HELD: words[slot + HELD] + len(records),
                    slot + LAST: len(records),
                }
            )
        return records

    def drop(self) -> list[Record]:
        """All there are, which count as done; those with files are told."""
        size = self.size
        records, head = self._read(size)
        words = self._words
        self._memory.commit(
            {
                HEAD: head,
                DROPPED: words[DROPPED] + size,
                FINISHED: words[FINISHED] + min(size, self.unfinished),  # some may be done already
                FLAGS: words[FLAGS] | SHUT | DROPPING,
            }
        )
        return [record for record in records if record.kind & SPILLED]

    def shut(self) -> None:
        """No more puts."""
        self._memory.commit({FLAGS: self._words[FLAGS] | SHUT})

    def _read(self, count: int) -> tuple[list[Record], int]:
        records, at = [], self._words[HEAD]
        for _ in range(count):
            need, described = _HEADER.unpack(self._memory.read(at, _HEADER.size))
            length = described >> 8
            if not _HEADER.size + length <= need <= self._words[TAIL] - at:
                raise ValueError(_DAMAGED)
            data = self._memory.read(at + _HEADER.size, length)
            records.append(Record(described & 0xFF, data))
            at += need
        return records, at

    # --- what is over ----------------------------------------------------------------------------

    def task_done(self, count: int) -> None:
        """Raises ValueError when there is not so much to be done."""
        if count < 0:
            raise ValueError("'count' must not be negative")
        if count > self.unfinished:
            raise ValueError("task_done() called too many times")
        words, slot = self._words, self.slot
        self._memory.commit(
            {
                DONE: words[DONE] + count,
                FINISHED: words[FINISHED] + count,
                slot + HELD: words[slot + HELD] - count,
                slot + COUNTS: 1,
            }
        )

    def _in_hand(self, slot: int) -> int:
        """What its process took and nobody reported: one may report what another took."""
        words = self._words
        held = words[slot + HELD]
        held -= (held >> 63) << 64  # it may be negative
        return max(0, min(held, words[GETS] + words[DROPPED] - words[FINISHED]))

    def _lost(self, slot: int, held: int, *, clean: bool) -> int:
        """A process that never reports is done with an item when it asks for the next."""
        if self._words[slot + COUNTS]:
            return held
        return 0 if clean else min(held, self._words[slot + LAST])

    def _free(self, slot: int, *, clean: bool) -> None:
        words, held = self._words, self._in_hand(slot)
        self._memory.commit(
            {
                FINISHED: words[FINISHED] + held,
                LOST: words[LOST] + self._lost(slot, held, clean=clean),
                **dict.fromkeys(range(slot, slot + 8), 0),
            }
        )

    # --- who uses it -----------------------------------------------------------------------------

    def claim(self) -> None:
        """A slot for this process, if it has none. Raises QueueError where all are in use."""
        if self.slot:
            return
        slot = self._find(os.getpid()) or self._find(0)
        if not slot:
            self.bury()
            slot = self._find(0)
        if not slot:
            raise QueueError(
                f"{len(_SLOTS)} processes use this queue already: more need another one"
            )
        pid = os.getpid()
        users = self._words[slot + USERS] + 1
        self._memory.commit({slot + PID: pid, slot + START: started(pid) or 0, slot + USERS: users})
        self.slot = slot

    def _find(self, pid: int) -> int:
        """The slot of this living process; 0: there is none."""
        for slot in _SLOTS:
            if self._words[slot + PID] == pid and (not pid or self._lives(slot)):
                return slot
        return 0

    def _lives(self, slot: int) -> bool:
        return is_alive(self._words[slot + PID], self._words[slot + START])

    def leave(self) -> None:
        """This process has one hold less."""
        if not self.slot:
            return
        if self._words[self.slot + USERS] > 1:
            self._memory.commit({self.slot + USERS: self._words[self.slot + USERS] - 1})
        else:
            self._free(self.slot, clean=True)
        self.slot = 0

    def bury(self, *, only_holders: bool = False) -> None:
        """Free the slots of the dead: what they held counts as done. Holders matter to joiners."""
        for slot in self._taken():
            if (not only_holders or self._in_hand(slot)) and not self._lives(slot):
                self._free(slot, clean=False)

    def live(self) -> list[tuple[int, int]]:
        """Pid and start time of the living."""
        words = self._words
        return [(words[s + PID], words[s + START]) for s in self._taken() if self._lives(s)]

    def waiting(self, which: int) -> int:
        """Threads that wait, of all processes."""
        return sum(self._words[slot + which] for slot in self._taken())

    def _taken(self) -> list[int]:
        return [slot for slot in _SLOTS if self._words[slot + PID]]
