"""How a task ended, told to a person or a script, and the exit code that goes with it."""

from __future__ import annotations

import enum
import traceback
from typing import TYPE_CHECKING, Any

from penstock.cli.screen import say, show_json, to_json

if TYPE_CHECKING:
    from penstock.tasks.result import AsyncResult

__all__ = ["Ending", "tell"]


class Ending(enum.IntEnum):
    """Exit codes of ``result`` and ``call --wait``."""

    SUCCESS = 0
    FAILURE = 1  # or revoked
    NOT_FINISHED = 3


def tell(result: AsyncResult[Any], *, json: bool, trace: bool = False) -> int:
    """Print what is known of a task; gives the exit code."""
    state = result.state
    ending = _ending(state)
    if json:
        show_json(_facts(result, state, ending))
    elif trace and result.traceback:
        say(result.traceback.rstrip())
    elif ending is Ending.SUCCESS:
        say(_shown(result.result))
    else:
        say(_reason(result, state, ending), err=True)
    return ending


def _ending(state: str) -> Ending:
    if state == "SUCCESS":
        return Ending.SUCCESS
    return Ending.FAILURE if state in {"FAILURE", "REVOKED"} else Ending.NOT_FINISHED


def _facts(result: AsyncResult[Any], state: str, ending: Ending) -> dict[str, Any]:
    value = result.result
    facts: dict[str, Any] = {"id": result.id, "state": state}
    if isinstance(value, BaseException):
        facts["error"] = _error(value)
        facts["traceback"] = result.traceback
    elif ending is Ending.SUCCESS or value is not None:
        facts["result"] = value
    return facts


def _reason(result: AsyncResult[Any], state: str, ending: Ending) -> str:
    value = result.result
    if isinstance(value, BaseException) and ending is Ending.FAILURE:
        return f"{state}: {_error(value)}"
    if ending is Ending.NOT_FINISHED:
        known = "" if value is None or isinstance(value, BaseException) else f" {_shown(value)}"
        return f"not finished: {state}{known}"
    return state


def _error(error: BaseException) -> str:
    return traceback.format_exception_only(error)[-1].strip()


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else to_json(value)
