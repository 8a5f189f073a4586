"""The C core of the local queues: one extension module for each folder that holds a ``module.c``.

Each is optional: where it cannot be compiled the install still succeeds, and the queues run on
the pure-Python twin, which says so in ``statistics()``.
"""

import sys
from pathlib import Path

from setuptools import Extension, setup

CORE = Path("src/penstock/queues/_core")


def extension(folder: Path) -> Extension:
    """`_core/ring/*.c` becomes `penstock.queues._core._ring`."""
    return Extension(
        f"penstock.queues._core._{folder.name}",
        sources=sorted(map(str, folder.glob("*.c"))),
        include_dirs=[str(CORE)],
        depends=sorted(map(str, [*CORE.glob("*.h"), *folder.glob("*.h")])),
        extra_compile_args=["-std=c11", "-O2", "-fvisibility=hidden", "-Wall", "-Wextra"],
        libraries=["pthread"],
        optional=True,
    )


# Robust mutexes, futexes and sealed memory files are Linux's.
folders = sorted(CORE.glob("*/module.c")) if sys.platform == "linux" else []
setup(ext_modules=[extension(module.parent) for module in folders])
