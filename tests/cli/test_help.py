"""Help teaches: every command has one, with an example."""

import pytest

from penstock.cli.commands import COMMANDS

EVERY = [(name,) for name in COMMANDS] + [
    ("dead", name) for name in ("list", "show", "replay", "drop")
]


@pytest.mark.parametrize("command", EVERY, ids=" ".join)
def test_every_command_shows_an_example(penstock, command):
    answer = penstock(*command, "--help")
    assert answer.code == 0
    assert "Example" in answer.out
    assert f"{command[-1]} " in answer.out or f"{command[-1]}\n" in answer.out


def test_the_group_lists_every_command(penstock):
    answer = penstock("--help")
    assert answer.code == 0
    for name in COMMANDS:
        assert f"  {name} " in answer.out


def test_without_a_command_it_shows_the_help(penstock):
    answer = penstock()
    assert answer.code == 2
    assert "Commands:" in answer.err


def test_version(penstock):
    from importlib.metadata import version

    assert penstock("--version").out == f"penstock {version('penstock')}\n"
