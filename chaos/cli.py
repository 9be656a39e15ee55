"""The command `meltica-chaos`: what breaks the product on purpose.

Only the list of its subcommands may live here.
"""

from __future__ import annotations

import click

from chaos.campaign.command import campaign
from chaos.live.command import list_scenarios, run
from chaos.live.hunt_command import live_mutants
from chaos.mutants.command import mutants
from chaos.report.command import report
from chaos.sim.command import sim


@click.group()
def main() -> None:
    """Break Meltica on purpose, and see that it holds."""


main.add_command(sim)
main.add_command(campaign)
main.add_command(mutants)
main.add_command(report)
main.add_command(list_scenarios)
main.add_command(run)
main.add_command(live_mutants)
