"""Run the property tests long: ``python tests/fuzz/properties.py EXAMPLES [pytest options]``.

Hypothesis marks every test it drives with ``hypothesis``; those run here, each with so many
examples and without limits of time.
"""

import sys

import pytest


class Long:
    """A pytest plugin: its hook runs before the tests are imported, so they all see the profile."""

    def __init__(self, examples):
        self._examples = examples

    def pytest_configure(self):
        # Not earlier: pytest warns about plugins that were imported before it could rewrite them.
        from hypothesis import settings

        settings.register_profile("long", max_examples=self._examples, deadline=None)
        settings.load_profile("long")


if __name__ == "__main__":
    options = ["-m", "hypothesis", "--timeout=0", *sys.argv[2:]]
    sys.exit(pytest.main(options, plugins=[Long(int(sys.argv[1]))]))
