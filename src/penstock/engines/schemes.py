"""From a URL's scheme to the class behind it: the one place that imports backends by name."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from importlib import import_module
from typing import Any

from penstock.errors import ConfigError
from penstock.url import Url

__all__ = ["backend_class"]


def backend_class(address: Url, schemes: Mapping[str, str], *, what: str) -> Any:
    """The class that ``schemes`` names as ``module:class``; ConfigError for an unknown scheme."""
    try:
        module, _, name = schemes[address.scheme].partition(":")
    except KeyError:
        near = difflib.get_close_matches(address.scheme, schemes, n=1)
        hint = f"; did you mean {near[0]}://?" if near else ""
        known = ", ".join(f"{scheme}://" for scheme in schemes)
        raise ConfigError(
            f"no {what} for {address.scheme}:// URLs{hint} (there are {known})"
        ) from None
    return getattr(import_module(module), name)
