"""What the zygote tells of the app it imported."""

from __future__ import annotations

from typing import TYPE_CHECKING

from penstock.worker.protocol import Manifest, TaskPolicy

if TYPE_CHECKING:
    from penstock.tasks.app import App
    from penstock.tasks.task import Task

__all__ = ["manifest_of"]


def manifest_of(app: App) -> Manifest:
    """The app's addresses, settings and tasks, as plain values."""
    return Manifest(
        app=app.name,
        broker=app.broker_url,
        backend=app.backend_url,
        settings=app.conf.as_dict(),
        tasks={name: _policy(app, task) for name, task in app.tasks.items()},
        queues=tuple(app.conf.task_queues) or (app.conf.task_default_queue,),
    )


def _policy(app: App, task: Task[..., object]) -> TaskPolicy:
    options = task.options.resolved(app.conf)
    return TaskPolicy(
        acks_late=bool(options.acks_late),
        reject_on_worker_lost=bool(options.reject_on_worker_lost),
        ignore_result=bool(options.ignore_result),
        track_started=bool(options.track_started),
        rate_limit=None if options.rate_limit is None else str(options.rate_limit),
        time_limit=options.time_limit,
        soft_time_limit=options.soft_time_limit,
    )
