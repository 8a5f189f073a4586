"""Values as one line of Python, so that their types are kept: written by repr, read by eval."""

import datetime as dt
from decimal import Decimal
from uuid import UUID

_NAMES = {
    "datetime": dt,
    "Decimal": Decimal,
    "UUID": UUID,
    "inf": float("inf"),
    "nan": float("nan"),
}


def write(value):
    return repr(value)


def read(line):
    return eval(line, dict(_NAMES))
