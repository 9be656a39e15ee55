"""Main: the command `meltica` and its list of subcommands.

Only the list, the global options and the last catch may live here; each noun has a file of its own beside
this one, imported when it is asked for, so that `meltica status` does not pay for the demo.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Final

import click

from meltica import __version__
from meltica.api.outcomes import Exit

COMMANDS: Final = {
    "demo": "meltica.cli.demo:demo",
    "bench": "meltica.cli.bench:bench",
    "cluster": "meltica.cli.cluster:cluster",
    "node": "meltica.cli.node:node",
    "paper": "meltica.cli.paper:paper",
    "status": "meltica.cli.status:status",
    "promote": "meltica.cli.promote:promote",
    "halt": "meltica.cli.risk:halt",
    "reduce": "meltica.cli.risk:reduce",
    "resume": "meltica.cli.risk:resume",
    "kill": "meltica.cli.risk:kill",
    "mode": "meltica.cli.mode:mode",
    "strategies": "meltica.cli.strategies:strategies",
    "start": "meltica.cli.strategies:start",
    "stop": "meltica.cli.strategies:stop",
    "opening": "meltica.cli.opening:opening",
    "orders": "meltica.cli.orders:orders",
    "cancel": "meltica.cli.orders:cancel",
    "submit": "meltica.cli.orders:submit",
    "positions": "meltica.cli.positions:positions",
    "fills": "meltica.cli.fills:fills",
    "log": "meltica.cli.log:log",
    "version": "meltica.cli.version:version",
    "audit": "meltica.cli.audit:audit",
    "config": "meltica.cli.config:config",
}


class Commands(click.Group):
    """Subcommands that are imported when they are asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """In the order above: what a newcomer needs first."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's signature
        """The one named; None where there is none."""
        if cmd_name not in COMMANDS:
            return None
        module, _, name = COMMANDS[cmd_name].partition(":")
        command: click.Command = getattr(importlib.import_module(module), name)
        return command


def _version(ctx: click.Context, _: click.Parameter, asked: bool) -> None:
    """The build is what an operator approves before it is rolled out: `meltica version approve BUILD`."""
    if asked:
        from meltica.build import own_build  # noqa: PLC0415 - it reads every source; no other command pays for it

        click.echo(f"meltica, version {__version__}, build {own_build()}")
        ctx.exit()


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--cluster",
    envvar="MELTICA_CLUSTER",
    type=click.Path(file_okay=False, path_type=Path),
    help="The cluster's folder, for the operator's commands. [env: MELTICA_CLUSTER]",
)
@click.option("--debug", is_flag=True, help="Show tracebacks.")
@click.option(
    "--version", is_flag=True, callback=_version, expose_value=False, is_eager=True, help="Show version and build."
)
def commands(cluster: Path | None, debug: bool) -> None:
    """Meltica: three nodes, one trader, nothing lost and nothing doubled.

    Exit codes: 0 done, 1 failed, 2 wrong usage, 3 unreachable, 4 not allowed, 5 refused, 6 degraded,
    7 outcome unknown.
    """


def main() -> None:
    """The entry point: exits with the codes of contracts.md section 10, without tracebacks unless asked."""
    arguments = sys.argv[1:]
    if "--debug" in arguments:
        commands.main(arguments, prog_name="meltica")
    try:
        commands.main(arguments, prog_name="meltica")
    except Exception as error:  # noqa: BLE001 - an operator gets a sentence, and the traceback for the asking
        click.echo(f"meltica: a fault of the program: {type(error).__name__}: {error}", err=True)
        click.echo("  next: repeat it with `meltica --debug ...` and report what it prints", err=True)
        sys.exit(Exit.FAILED)
