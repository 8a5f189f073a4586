"""Queues as settings describe them, in Celery's words.

Celery knows them as maps, as lists of maps and as objects of a class of its own (``Queue``). Of all
that a description may hold only the arguments matter here: exchanges are the server's default.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from penstock.brokers.base import QueueShapes
from penstock.errors import ConfigError

__all__ = ["queue_shapes", "queues_by_name"]

_ARGUMENTS = "queue_arguments"
_WORDS = {"max_priority": "x-max-priority"}  # what has a word of its own in a description
_KNOWN = frozenset({
    _ARGUMENTS, *_WORDS, "name", "durable",
    "exchange", "exchange_type", "routing_key", "binding_key",
})  # fmt: skip


def queues_by_name(value: Any) -> dict[str, dict[str, Any]]:
    """The setting ``task_queues`` as a map of maps; raises ConfigError."""
    if isinstance(value, Mapping):
        found = {str(name): _described(each, str(name)) for name, each in value.items()}
    elif isinstance(value, Iterable) and not isinstance(value, str | bytes):
        described = [_described(each) for each in value]
        found = {each["name"]: each for each in described}
    else:
        raise ConfigError(
            f"setting task_queues: a map of queues by name, or a list of them, not {value!r:.100}"
        )
    return {
        name: {word: each[word] for word in each if word != "name"} for name, each in found.items()
    }


def _described(queue: Any, name: str = "") -> dict[str, Any]:
    if isinstance(queue, str):
        queue = {"name": queue}
    if not isinstance(queue, Mapping):  # as Celery's class has it
        arguments = getattr(queue, _ARGUMENTS, None) or {}
        priority = getattr(queue, "max_priority", None)
        more = {} if priority is None else {"max_priority": priority}
        queue = {"name": getattr(queue, "name", ""), _ARGUMENTS: dict(arguments), **more}
    described = {"name": name, **queue}
    if not described["name"] or not isinstance(described["name"], str):
        raise ConfigError(f"setting task_queues: a queue without a name: {queue!r:.100}")
    told = f"setting task_queues: {described['name']:.100}"
    if unknown := described.keys() - _KNOWN:
        words = ", ".join(sorted(map(str, unknown)))
        raise ConfigError(
            f"{told} has {words:.100}, which is not known here: what RabbitMQ is told of a queue "
            "stands in queue_arguments"
        )
    if not isinstance(described.get(_ARGUMENTS) or {}, Mapping):
        raise ConfigError(f"{told} has queue_arguments that are no map")
    return described


def queue_shapes(
    queues: Mapping[str, Mapping[str, Any]], *, default_type: str, max_priority: int | None
) -> QueueShapes:
    """The arguments by which each of these queues is made, and any other."""
    common = {} if max_priority is None else {"x-max-priority": max_priority}
    others = {"x-queue-type": "quorum"} if default_type == "quorum" else common
    named = {name: _arguments(described, common) for name, described in queues.items()}
    return QueueShapes(named, others)


def _arguments(described: Mapping[str, Any], common: Mapping[str, Any]) -> dict[str, Any]:
    arguments = dict(described.get(_ARGUMENTS) or {})
    for word, argument in _WORDS.items():
        if described.get(word) is not None:
            arguments[argument] = described[word]
    # A quorum queue knows no priorities, and RabbitMQ refuses one that is to have some.
    return arguments if arguments.get("x-queue-type") == "quorum" else {**common, **arguments}
