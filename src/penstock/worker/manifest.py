"""What the zygote tells of the app it imported."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from penstock.worker.protocol import Manifest, TaskPolicy

if TYPE_CHECKING:
    from penstock.tasks.app import App
    from penstock.tasks.task import Task

__all__ = ["manifest_of"]

T = TypeVar("T")


def manifest_of(app: App) -> Manifest:
    """The app's addresses, settings and tasks, as plain values."""
    return Manifest(
        app=app.name,
        broker=app.broker_url,
        backend=app.backend_url,
        settings=app.conf.as_dict(),
        tasks={name: _policy(app, task) for name, task in app.tasks.items()},
        queues=(app.conf.task_default_queue,),
    )


def _policy(app: App, task: Task[..., object]) -> TaskPolicy:
    options, conf = task.options, app.conf
    return TaskPolicy(
        acks_late=_either(options.acks_late, conf.task_acks_late),
        ignore_result=_either(options.ignore_result, conf.task_ignore_result),
        track_started=_either(options.track_started, conf.task_track_started),
        rate_limit=_text(_either(options.rate_limit, conf.task_default_rate_limit)),
        time_limit=_either(options.time_limit, conf.task_time_limit),
        soft_time_limit=_either(options.soft_time_limit, conf.task_soft_time_limit),
    )


def _either(own: T | None, general: T) -> T:
    return general if own is None else own


def _text(rate: str | float | None) -> str | None:
    return None if rate is None else str(rate)
