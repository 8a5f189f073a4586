"""Who hears what a Redis server says unasked; see :mod:`.redis_ears` for how it comes."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from penstock.engines.floor import Attention
from penstock.engines.memory_bells import BellListener
from penstock.engines.redis_batch import Word

if TYPE_CHECKING:
    from penstock.engines.redis_ears import Ears

__all__ = ["Answer", "ClaimListener", "HeedingListener", "Question", "RedisListener"]

_KEPT = 1_000  # messages of channels that a listener keeps until they are taken

Answer = Callable[[Any], None]  # takes a reply, and rings if that is worth it
Question = tuple[Sequence[Word], Answer]  # a command, and what takes its reply


class RedisListener(BellListener):
    """Hears some bells; clearing it arms those that rang."""

    def __init__(self, names: tuple[str, ...], ears: Ears) -> None:
        super().__init__(names, ears.bells)
        self._ears = ears

    may_linger = False
    """True where what was subscribed to may stay so for a while after this was closed."""

    def clear(self) -> None:
        super().clear()
        self._ears.arm(self.names)

    def tell(self, channel: str, message: bytes) -> bool:
        """Be told what was said in a channel; true when that is worth a ring."""
        return True

    def questions(self) -> Iterable[Question]:
        """What the server is asked as soon as it is listened to, and whenever that begins anew."""
        return ()

    def close(self) -> None:
        closed = self._reader < 0
        super().close()
        if not closed:
            self._ears.leave(self)


class ClaimListener(RedisListener):
    """Hears that there may be work: armed again by :meth:`Ears.looked`, after the claim.

    Armed when it is cleared, before the claim, it would ring for what that claim then takes. Its
    owner's loop may read the connection while it sleeps, see :class:`penstock.plan.Attentive`.
    """

    def __init__(self, names: tuple[str, ...], ears: Ears) -> None:
        super().__init__(names, ears)
        self._attention = Attention(self._reader, ears.borrow_floor)

    def fileno(self) -> int:
        return self._attention.fileno()

    def clear(self) -> None:
        BellListener.clear(self)

    def attend(self) -> None:
        self._attention.begin()

    def attended(self, *, ready: bool) -> bool:
        self._attention.end(ready=ready)
        return self._rung

    def close(self) -> None:
        super().close()
        self._attention.close()


class HeedingListener(RedisListener):
    """Hears what is said in its channels, too: :meth:`take` gives it, oldest first."""

    def __init__(self, names: tuple[str, ...], ears: Ears) -> None:
        super().__init__(names, ears)
        self._said: deque[bytes] = deque(maxlen=_KEPT)

    def tell(self, channel: str, message: bytes) -> bool:
        self._said.append(message)  # before the bell is rung: who clears and takes misses none
        return True

    def take(self) -> list[bytes]:
        """What was said since the last call."""
        taken = []
        while self._said:
            taken.append(self._said.popleft())
        return taken
