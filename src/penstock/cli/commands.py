"""The table of commands, each imported when it is asked for."""

from __future__ import annotations

from importlib import import_module

import click

__all__ = ["COMMANDS", "CommandTable"]

# name -> "module:object", in the order of the help page
COMMANDS = {
    "worker": "penstock.cli.worker:worker",
    "call": "penstock.cli.call:call",
    "result": "penstock.cli.result:result",
    "status": "penstock.cli.status:status",
    "inspect": "penstock.cli.inspect:inspect",
    "control": "penstock.cli.control:control",
    "events": "penstock.cli.events:events",
    "queues": "penstock.cli.queues:queues",
    "purge": "penstock.cli.purge:purge",
    "dead": "penstock.cli.dead:dead",
    "tend": "penstock.cli.tend:tend",
    "schema": "penstock.cli.schema:schema",
    "demo": "penstock.cli.demo:demo",
}


class CommandTable(click.Group):
    """A group whose commands are named here and live in modules of their own."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All names, in the table's order."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of that name, imported now."""
        if cmd_name not in COMMANDS:
            return None
        module, _, name = COMMANDS[cmd_name].partition(":")
        command: click.Command = getattr(import_module(module), name)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The same as click's, but an unknown name is answered with its nearest neighbour."""
        name = args[0]
        if name not in COMMANDS and not name.startswith("-"):
            raise click.exceptions.NoSuchCommand(name, possibilities=COMMANDS, ctx=ctx)
        return super().resolve_command(ctx, args)
