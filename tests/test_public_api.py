"""The names that users import."""

import subprocess
import sys

import penstock


def test_every_public_name_is_there():
    for name in penstock.__all__:
        assert getattr(penstock, name) is not None
    assert set(penstock.__all__) <= set(dir(penstock))


def test_a_name_that_is_not_there():
    assert not hasattr(penstock, "no_such_name")


def test_the_errors_are_the_errors():
    from penstock import errors

    assert set(errors.__all__) <= set(penstock.__all__)


def test_importing_the_front_loads_nothing_else():
    code = (
        "import sys; before = set(sys.modules); import penstock; "
        "print(sorted(set(sys.modules) - before))"
    )
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout
    assert loaded.strip() == "['__future__', 'penstock']"


def test_an_app_loads_no_heavy_modules():
    code = (
        "import sys; from penstock import App; App('tasks').task(lambda: 1); "
        "print([m for m in ('asyncio', 'logging', 'rich', 'click', 'subprocess', 'socket', 'apsw')"
        " if m in sys.modules])"
    )
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout
    assert loaded.strip() == "[]"
