"""Finding an app by name, as ``-A`` gives it: ``tasks``, ``tasks:app``, ``pkg.mod``."""

from __future__ import annotations

import importlib
import importlib.util
import sys
import traceback
from pathlib import Path

from penstock.errors import ConfigError
from penstock.tasks.app import App

__all__ = ["AppImportError", "load_app"]

_USUAL_NAMES = ("app", "celery")


class AppImportError(ConfigError):
    """The app's own module raised while it was imported; the text is its traceback."""


def load_app(spec: str) -> App:
    """The App that ``spec`` names, with the current folder on the path.

    ``module:attribute`` names it exactly; ``module`` alone takes the attribute ``app``, or the
    only App of that module. Raises ConfigError, or AppImportError with the module's traceback.
    """
    module_name, _, attribute = spec.partition(":")
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    module = _import(module_name)
    return _attribute(module, attribute, spec) if attribute else _only_app(module, spec)


def _import(name: str) -> object:
    if not _exists(name):
        raise ConfigError(
            f"there is no module {name!r} in {Path.cwd()} or on the Python path; "
            "-A takes a module (tasks), a module and a name (tasks:app) or a dotted path (pkg.mod)"
        )
    try:
        return importlib.import_module(name)
    except Exception as error:
        lines = traceback.format_exception(error)
        frames = [line for line in lines[1:] if "importlib" not in line and __file__ not in line]
        text = "".join([f"importing {name!r} failed:\n", lines[0], *frames])
        raise AppImportError(text.rstrip()) from error


def _exists(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except (ModuleNotFoundError, ValueError):  # a parent package is missing, or no name at all
        return False
    except Exception:  # noqa: BLE001 - a parent package that fails to import: _import tells it whole
        return True


def _attribute(module: object, name: str, spec: str) -> App:
    found: object = module
    for part in name.split("."):
        found = getattr(found, part, None)
    if isinstance(found, App):
        return found
    what = "is not there" if found is None else f"is a {type(found).__name__}, not a penstock App"
    raise ConfigError(f"-A {spec}: {name} {what}")


def _only_app(module: object, spec: str) -> App:
    for name in _USUAL_NAMES:
        found = getattr(module, name, None)
        if isinstance(found, App):
            return found
    apps = {id(value): value for value in vars(module).values() if isinstance(value, App)}
    if len(apps) == 1:
        return apps.popitem()[1]
    raise ConfigError(
        f"-A {spec}: the module has {'no' if not apps else 'more than one'} penstock App; "
        f"name it as {spec}:NAME"
    )
