"""Ids, and the text of plain calls: compiled where that is to be had."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from penstock._core.twin_calls import new_id, new_ids, pack, reseed
else:
    from penstock._core.choice import core

    _calls = core(__package__, "_calls", "twin_calls")
    new_id, new_ids, pack, reseed = _calls.new_id, _calls.new_ids, _calls.pack, _calls.reseed

__all__ = ["new_id", "new_ids", "pack"]

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=reseed)
