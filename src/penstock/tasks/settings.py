"""The settings of an app: typed, checked when they are set, with Celery's names where it has one.

Durations are float seconds, sizes bytes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Annotated, Any, Literal

import msgspec

from penstock.brokers.base import QueueShapes
from penstock.errors import ConfigError
from penstock.tasks.names import unknown
from penstock.tasks.queues import queue_shapes, queues_by_name
from penstock.tasks.rates import parse_rate
from penstock.url import Url
from penstock.wire.codec import CONTENT_TYPES, LIMITS, Limits

__all__ = ["Settings"]

Seconds = Annotated[float, msgspec.Meta(ge=0)]
Duration = Annotated[float, msgspec.Meta(gt=0)]
Count = Annotated[int, msgspec.Meta(ge=1)]
Accepted = Literal[
    "json", "application/json", "pickle", "application/x-python-serialize",
    "msgpack", "application/x-msgpack",
]  # fmt: skip
Route = str | dict[str, str | int]
QueuesByName = dict[str, dict[str, Any]]
_MEBIBYTE = 1024 * 1024


class Settings(msgspec.Struct, kw_only=True, dict=True):
    """``app.conf``: read and set as attributes, or several at once with :meth:`update`.

    A wrong type or an unknown name raises ConfigError, which names the setting (or the nearest).
    """

    # Where things are. The environment and the defaults come in when these are None.
    broker_url: str | None = None
    result_backend: str | None = None

    # Sending.
    task_default_queue: str = "celery"
    task_queues: QueuesByName = {}  # how missing ones are made: {name: {"queue_arguments": {…}}}
    task_queue_max_priority: Annotated[int, msgspec.Meta(ge=1, le=255)] | None = None
    task_default_queue_type: Literal["classic", "quorum"] = "classic"
    task_default_priority: Annotated[int, msgspec.Meta(ge=0, le=9)] | None = None
    task_routes: dict[str, Route] = {}  # task name or glob -> queue, or {"queue": …, "priority": …}
    task_serializer: Literal["json"] = "json"
    accept_content: tuple[Accepted, ...] = ("json",)  # of task messages; json is always read
    publish_timeout: Seconds = 5.0  # how long delay() waits for a broker that is down
    message_max_bytes: Count = 16 * _MEBIBYTE  # of a body, compressed or expanded
    message_max_depth: Count = 64  # maps and lists within each other
    message_max_headers: Count = 64

    # Running.
    task_acks_late: bool = True
    task_ignore_result: bool = False
    task_track_started: bool = False
    task_time_limit: Duration | None = None
    task_soft_time_limit: Duration | None = None
    task_default_rate_limit: str | float | None = None
    task_reject_on_worker_lost: bool = True
    task_always_eager: bool = False
    task_eager_propagates: bool = False
    task_store_eager_result: bool = False

    # Results.
    result_serializer: Literal["json"] = "json"
    result_expires: Duration | None = 86400.0  # None: kept for ever
    result_extended: bool = False
    result_max_bytes: Count = 16 * _MEBIBYTE
    allow_join_result: bool = False  # let tasks wait for other tasks: it can block a whole pool

    # Workers.
    worker_pool: Literal["prefork", "threads", "asyncio", "solo"] = "prefork"
    worker_concurrency: Count | None = None  # None: as many as there are processors
    worker_max_tasks_per_child: Count | None = None
    worker_max_memory_per_child: Count | None = None  # KiB
    worker_shutdown_timeout: Seconds = 30.0
    worker_watchdog_timeout: Seconds = 60.0  # work waits and nothing is claimed; 0: never mind
    worker_send_task_events: bool = False
    lease_time: Duration = 15.0
    crash_limit: Count = 3

    # Time. Everything on the wire is UTC; the zone is for the schedules of periodic tasks.
    enable_utc: Literal[True] = True
    timezone: str = "UTC"

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Settings:
        """Settings from names and values; raises ConfigError."""
        return _checked(dict(values))

    def update(self, *mappings: Mapping[str, Any], **values: Any) -> None:
        """Set several at once: all of them, or none where one is wrong."""
        new: dict[str, Any] = {}
        for mapping in mappings:
            new |= mapping
        _put(self, new | values)

    def __post_init__(self) -> None:
        # `revision` grows with each change: what was computed from settings is stale when it
        # differs. No setting, and no property: it is asked for at each call that is sent.
        self.__dict__["revision"] = 0

    @property
    def message_limits(self) -> Limits:
        """What messages may be like, for :func:`decode_call`."""
        known = self.__dict__.get("limits")
        if known is None:
            known = self.__dict__["limits"] = Limits(
                max_bytes=self.message_max_bytes,
                max_depth=self.message_max_depth,
                max_headers=self.message_max_headers,
                accept=LIMITS.accept | {CONTENT_TYPES.get(n, n) for n in self.accept_content},
            )
        limits: Limits = known
        return limits

    @property
    def result_limits(self) -> Limits:
        """What results may be like, for :func:`decode_result`."""
        known = self.__dict__.get("limits_of_results")
        if known is None:
            known = self.__dict__["limits_of_results"] = Limits(
                max_bytes=self.result_max_bytes, max_depth=self.message_max_depth
            )
        limits: Limits = known
        return limits

    @property
    def queue_shapes(self) -> QueueShapes:
        """How queues that do not exist yet are to be made."""
        return queue_shapes(
            self.task_queues,
            default_type=self.task_default_queue_type,
            max_priority=self.task_queue_max_priority,
        )

    def as_dict(self) -> dict[str, Any]:
        """All settings by name."""
        return msgspec.structs.asdict(self)

    def __repr__(self) -> str:
        """What differs from the defaults, without passwords."""
        changed = {k: v for k, v in self.as_dict().items() if v != getattr(_DEFAULTS, k)}
        shown = (f"{name}={_masked(name, value)}" for name, value in changed.items())
        return f"Settings({', '.join(shown)})"

    def __setattr__(self, name: str, value: Any) -> None:
        _put(self, {name: value})

    def __getattr__(self, name: str) -> Any:
        # Reached only for what is no field.
        if name.startswith("_"):
            raise AttributeError(name)
        raise _NoSetting(str(unknown("setting", name, self.__struct_fields__)))


_DEFAULTS = Settings()
_URLS = frozenset({"broker_url", "result_backend"})


def _masked(name: str, value: Any) -> str:
    if name not in _URLS or not value:
        return repr(value)
    try:
        return str(Url.parse(value))
    except ConfigError:  # it may hold a password all the same
        return "<no URL that can be read>"


class _NoSetting(ConfigError, AttributeError):
    """Also an AttributeError, so that ``hasattr`` and ``getattr(conf, name, None)`` work."""


def _put(settings: Settings, values: Mapping[str, Any]) -> None:
    checked = _checked(dict(values))
    for name in values:
        msgspec.Struct.__setattr__(settings, name, getattr(checked, name))
    settings.__dict__["revision"] = settings.revision + 1
    for computed in ("limits", "limits_of_results"):
        settings.__dict__.pop(computed, None)


def _checked(values: dict[str, Any]) -> Settings:
    for name, value in values.items():
        if name not in Settings.__struct_fields__:
            raise unknown("setting", name, Settings.__struct_fields__)
        if isinstance(value, timedelta):
            values[name] = value.total_seconds()
    if "task_queues" in values:
        values["task_queues"] = queues_by_name(values["task_queues"])
    parse_rate(values.get("task_default_rate_limit"))
    try:
        return msgspec.convert(values, Settings)
    except UnicodeEncodeError as error:  # a lone surrogate where a word is expected
        raise ConfigError(f"a setting has text that UTF-8 cannot write: {error}") from error
    except msgspec.ValidationError as error:
        text, _, place = str(error).partition(" - at ")
        found = re.match(r"`\$\.(\w+)", place)
        raise ConfigError(f"setting {found[1] if found else ''}: {text}") from error
