"""The options of one task, as ``@app.task(...)`` takes them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypedDict

import msgspec

from penstock.errors import ConfigError
from penstock.tasks.names import unknown
from penstock.tasks.rates import parse_rate
from penstock.tasks.settings import Settings
from penstock.wire.wishes import HIGHEST, LOWEST, Priority, wire_priority

__all__ = ["Priority", "TaskKeywords", "TaskOptions", "wire_priority"]

Errors = tuple[type[BaseException], ...]

Duration = Annotated[float, msgspec.Meta(gt=0)]
Seconds = Annotated[float, msgspec.Meta(ge=0)]
WirePriority = Annotated[int, msgspec.Meta(ge=LOWEST, le=HIGHEST)]


class TaskKeywords(TypedDict, total=False):
    """The keywords of ``@app.task`` besides ``bind``, for type checkers."""

    name: str
    max_retries: int | None
    default_retry_delay: float
    autoretry_for: Errors
    dont_autoretry_for: Errors
    retry_kwargs: Mapping[str, Any]
    retry_backoff: bool | float
    retry_backoff_max: float
    retry_jitter: bool
    queue: str
    priority: Priority
    time_limit: float
    soft_time_limit: float
    rate_limit: str | float
    ignore_result: bool
    track_started: bool
    expires: float
    acks_late: bool
    reject_on_worker_lost: bool
    typing: bool
    serializer: Literal["json"]


class TaskOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What a task's decorator said; None: the app's setting decides. Durations are seconds."""

    name: str | None = None
    bind: bool = False
    # Retries. The delays are Celery's.
    max_retries: Annotated[int, msgspec.Meta(ge=0)] | None = 3  # None: no limit
    default_retry_delay: Seconds = 180.0
    autoretry_for: Any = ()  # exception classes; msgspec cannot check classes, `_checked` does
    dont_autoretry_for: Any = ()
    retry_kwargs: dict[str, Any] = {}
    retry_backoff: bool | Duration = False  # True: 1, 2, 4 … s; a number: that many times as long
    retry_backoff_max: Duration = 600.0
    retry_jitter: bool = True
    # Sending.
    queue: str | None = None
    priority: WirePriority | Literal["high", "low"] | None = None
    expires: Duration | None = None
    typing: bool = True  # check arguments against the signature before they are sent
    serializer: Literal["json"] = "json"
    # Running.
    time_limit: Duration | None = None
    soft_time_limit: Duration | None = None
    rate_limit: str | float | None = None
    ignore_result: bool | None = None
    track_started: bool | None = None
    acks_late: bool | None = None
    reject_on_worker_lost: bool | None = None

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> TaskOptions:
        """Options from keywords; raises ConfigError for an unknown or wrong one."""
        for name in values:
            if name not in cls.__struct_fields__:
                raise unknown("task option", name, cls.__struct_fields__)
        checked = {name: _classes(name, value) for name, value in values.items()}
        parse_rate(values.get("rate_limit"))
        try:
            return msgspec.convert(checked, cls)
        except (msgspec.ValidationError, UnicodeEncodeError) as error:
            raise ConfigError(f"task option: {error}") from error

    def resolved(self, settings: Settings) -> TaskOptions:
        """These options, with the app's settings where they say nothing."""
        fallback = {
            "acks_late": settings.task_acks_late,
            "ignore_result": settings.task_ignore_result,
            "track_started": settings.task_track_started,
            "reject_on_worker_lost": settings.task_reject_on_worker_lost,
            "time_limit": settings.task_time_limit,
            "soft_time_limit": settings.task_soft_time_limit,
            "rate_limit": settings.task_default_rate_limit,
        }
        unsaid = {name: value for name, value in fallback.items() if getattr(self, name) is None}
        return msgspec.structs.replace(self, **unsaid)


def _classes(name: str, value: Any) -> Any:
    if name not in {"autoretry_for", "dont_autoretry_for"}:
        return value
    classes = value if isinstance(value, (tuple, list)) else (value,)
    for kind in classes:
        if not (isinstance(kind, type) and issubclass(kind, BaseException)):
            raise ConfigError(f"task option {name}: {kind!r:.100} is no exception class")
    return tuple(classes)
