"""A client that does what it is told: a request a line, an answer a line, as Python values.

The same program for both; what it imports as `interop_app` decides what it is a client of.
"""

import sys
import traceback

import interop_tasks
from interop_app import NotReady, app, send_many
from interop_words import read, write

OURS = ("celery.", "billiard.", "kombu.", "penstock.")


def send(task, args=(), kwargs=None, **options):
    """Send a call; a task that does not exist is sent by its name."""
    if task == "typed_arguments":
        task, args = "echo", tuple(interop_tasks.TYPED.values())
    here = getattr(interop_tasks, task, None)
    if here is None:
        return app.send_task(task, args, kwargs, **options).id
    return here.apply_async(args, kwargs, **options).id


def many(task, calls):
    return [result.id for result in send_many(getattr(interop_tasks, task), calls)]


def outcome(task_id, timeout=20):
    """How it ended, as (state, value, error)."""
    result = app.AsyncResult(task_id)
    value = result.get(timeout=timeout, propagate=False)
    if isinstance(value, BaseException):
        return result.state, None, described(value)
    return result.state, value, None


def raised(task_id, timeout=20):
    """What get() raises."""
    try:
        app.AsyncResult(task_id).get(timeout=timeout)
    except Exception as error:  # noqa: BLE001 - whatever it is, it is the answer
        return described(error)
    return None


def waits(task_id, timeout):
    """True when get() gives up after the timeout."""
    try:
        app.AsyncResult(task_id).get(timeout=timeout)
    except NotReady:
        return True
    return False


def inspect(method, *args, timeout=10.0, destination=None):
    """What workers answer, by name."""
    return getattr(app.control.inspect(destination, timeout=timeout), method)(*args)


def control(method, *args, **options):
    """What workers answer, each by name; None where no answer is asked for."""
    return getattr(app.control, method)(*args, **options)


def ignored(task, args, **options):
    """What get() gives of a call whose result is ignored, in the client that sent it."""
    return getattr(interop_tasks, task).apply_async(args, **options).get(timeout=20)


def look(task_id):
    """What a client sees without waiting; the state first, for each line reads anew."""
    result = app.AsyncResult(task_id)
    state, info = result.state, result.result
    return {
        "state": state,
        "info": described(info) if isinstance(info, BaseException) else info,
        "ready": result.ready(),
        "successful": state == "SUCCESS" and result.successful(),
        "failed": result.failed(),
        "traceback": result.traceback,
        "children": [getattr(child, "id", child) for child in result.children or ()],
        "done": result.date_done is not None,
        "name": result.name,
        "args": result.args,
        "kwargs": result.kwargs,
        "worker": result.worker,
        "retries": result.retries,
        "queue": result.queue,
    }


def forget(task_id):
    app.AsyncResult(task_id).forget()


def described(error):
    """An exception as (name, arguments, whether its class is the library's own)."""
    kind = type(error)
    name = getattr(error, "exc_type", None) or kind.__qualname__
    return name, error.args, kind.__module__.startswith(OURS)


VERBS = {
    verb.__name__: verb
    for verb in (send, many, outcome, raised, waits, ignored, look, forget, inspect, control)
}


def main():
    answers = sys.stdout
    sys.stdout = sys.stderr  # what libraries print is no answer
    for line in sys.stdin:
        verb, args, kwargs = read(line)
        try:
            answer = True, VERBS[verb](*args, **kwargs)
        except Exception:  # noqa: BLE001 - it is the test's to judge
            answer = False, traceback.format_exc()
        answers.write(write(answer) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
