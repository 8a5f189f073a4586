"""A history of what happened under faults, written by all who took part, and what it proves.

Nothing here knows penstock: the same checks judge any task queue whose tasks and clients write
such a history. It lies outside the system under test and outlives whoever writes it.

    python -m penstock.testing.history FILE       judge a history that was kept
"""

from penstock.testing.history.judge import Report, judge
from penstock.testing.history.record import Recorder, read
from penstock.testing.history.rules import Rules

__all__ = ["Recorder", "Report", "Rules", "judge", "read"]
