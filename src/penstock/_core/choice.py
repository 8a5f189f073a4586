"""Which implementation of a core is used: the compiled one, or its Python twin."""

from __future__ import annotations

import os
from importlib import import_module
from types import ModuleType

from penstock.errors import ConfigError

__all__ = ["core"]

_VARIABLE = "PENSTOCK_CORE"


def core(package: str, native: str, twin: str) -> ModuleType:
    """The module ``native`` of a package, or ``twin`` where it was not compiled.

    The environment variable ``PENSTOCK_CORE`` decides otherwise: ``python`` takes the twin,
    ``native`` raises ImportError when the compiled one is missing.
    """
    wanted = os.environ.get(_VARIABLE, "")
    if wanted not in {"", "native", "python"}:
        raise ConfigError(f"{_VARIABLE} is native or python, not {wanted!r}")
    if wanted != "python":
        try:
            return import_module(f"{package}.{native}")
        except ImportError:
            if wanted == "native":
                raise
    return import_module(f"{package}.{twin}")
