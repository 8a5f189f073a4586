"""One request to workers and what they answer."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from typing import TYPE_CHECKING, Any

import msgspec

from penstock.brokers.talk import address_of
from penstock.errors import DecodeError
from penstock.message import new_id
from penstock.wire.control import ANSWERS, Address, Request, read_answer, request_note

if TYPE_CHECKING:
    from penstock.brokers.talk import Ear, Talk

__all__ = ["Answers", "ask", "tell"]

Answers = dict[str, Any]


def tell(talk: Talk, request: Request) -> None:
    """Have workers do it, without an answer."""
    talk.ask(request_note(request))


def ask(
    talk: Talk,
    request: Request,
    *,
    timeout: float,
    limit: int | None = None,
    each: Callable[[Mapping[str, Any]], object] | None = None,
) -> Answers:
    """What each worker answers, by its name.

    Ends after ``timeout`` seconds; sooner with ``limit`` answers, or as many as there are workers
    that heard it. ``each`` is called with every answer when it comes.
    """
    address, ticket = address_of(), new_id()
    asked = msgspec.structs.replace(request, ticket=ticket, reply_to=Address(ANSWERS, address))
    deadline = time.monotonic() + timeout
    answers: Answers = {}
    with closing(talk.box(address)) as box:
        heard = talk.ask(request_note(asked, expires=time.time() + timeout))
        most = min((n for n in (limit, heard) if n is not None), default=None)
        if most == 0:
            return answers
        for one in _arriving(box, ticket, deadline):
            answers |= one
            if each is not None:
                each(one)
            if most is not None and len(answers) >= most:
                break
    return answers


def _arriving(box: Ear, ticket: str, deadline: float) -> Iterator[Answers]:
    while (left := deadline - time.monotonic()) > 0:
        if not box.wait(left):
            return
        box.clear()
        for note in box.take():
            try:
                one = read_answer(note, ticket=ticket)
            except DecodeError:  # whoever it was, it is no worker
                continue
            if one:
                yield one
