"""The C cores: one extension module for each folder in a ``_core`` that holds a ``module.c``.

Each is optional: where it cannot be compiled the install still succeeds, and its pure-Python twin
takes over (queues say so in ``statistics()``).
"""

import sys
from pathlib import Path

from setuptools import Extension, setup

SOURCES = Path("src")


def extension(folder: Path) -> Extension:
    """`src/penstock/queues/_core/ring/*.c` becomes `penstock.queues._core._ring`."""
    core = folder.parent
    return Extension(
        ".".join([*core.relative_to(SOURCES).parts, f"_{folder.name}"]),
        sources=sorted(map(str, folder.glob("*.c"))),
        include_dirs=[str(core)],
        depends=sorted(map(str, [*core.glob("*.h"), *folder.glob("*.h")])),
        extra_compile_args=["-std=c11", "-O2", "-fvisibility=hidden", "-Wall", "-Wextra"],
        libraries=["pthread"],
        optional=True,
    )


# Robust mutexes, futexes and sealed memory files are Linux's.
folders = sorted(SOURCES.glob("penstock/**/_core/*/module.c")) if sys.platform == "linux" else []
setup(ext_modules=[extension(module.parent) for module in folders])
