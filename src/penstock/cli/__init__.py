"""The command line: ``penstock`` and ``python -m penstock``."""

from penstock.cli.entry import main

__all__ = ["main"]
