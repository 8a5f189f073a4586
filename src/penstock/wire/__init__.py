"""Formats on the wire: pure functions between values and bytes, no I/O."""
