"""The library's channel, but for one thing: what the server has closed stays closed.

The library opens it again at once, under the same number. But confirms are off then, consumers are
gone, and the tags of deliveries begin anew: an acknowledgement that was meant for an earlier one
would end another message.
"""

from __future__ import annotations

import amqp

__all__ = ["MortalChannel"]


class MortalChannel(amqp.Channel):  # type: ignore[misc]
    """Ends when the server closes it; :meth:`Live.channel` opens another."""

    def _do_revive(self) -> None:
        self.collect()
