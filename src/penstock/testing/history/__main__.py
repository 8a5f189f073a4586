"""Judge a history that was kept: ``python -m penstock.testing.history FILE``."""

from __future__ import annotations

import sys

from penstock.testing.history import judge, read


def main(path: str) -> int:
    """Print the report; 1 when something was broken."""
    report = judge(read(path))
    print("\n".join(report.lines()))  # noqa: T201 - it is a command
    return 0 if report.clean else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
