"""Risk: `halt`, `reduce`, `resume` and `kill`, the four hands on the risk state."""

from __future__ import annotations

from typing import Any

import click
import trio

from meltica.api.outcomes import Exit
from meltica.cli.acting import act, acting_options
from meltica.cli.client import Client
from meltica.cli.errors import CliError
from meltica.cli.place import place_of
from meltica.cli.status import PATH, merged

cause_option = click.option(
    "--cause", default="operator", show_default=True, help="The name under which it is lifted again."
)


@click.command()
@cause_option
@click.option("--leave-quotes", is_flag=True, help="Let the strategies' resting orders lie.")
@acting_options
@click.pass_context
def halt(context: click.Context, /, cause: str, leave_quotes: bool, **options: Any) -> None:
    """Stop trading: only cancels are sent from now on, and the strategies' quotes are cancelled."""
    quotes = "the quotes stay" if leave_quotes else "the quotes are cancelled"
    wish = {"cause": cause, "leave_quotes": leave_quotes}
    act(context, "halt", wish, f"trading halts (cause {cause}), {quotes}", options)


@click.command()
@cause_option
@acting_options
@click.pass_context
def reduce(context: click.Context, /, cause: str, **options: Any) -> None:
    """Let positions only shrink; resting orders that would grow one are cancelled."""
    act(context, "reduce", {"cause": cause}, f"positions may only shrink from now on (cause {cause})", options)


@click.command()
@cause_option
@click.option("--without-quorum", is_flag=True, help="One node cancels by itself; when no majority is left.")
@click.option("--node", help="With --without-quorum: the node that cancels.")
@acting_options
@click.pass_context
def kill(context: click.Context, /, cause: str, without_quorum: bool, node: str | None, **options: Any) -> None:
    """Halt, and cancel every order of ours until the venue shows it gone."""
    if node and not without_quorum:
        raise CliError("--node goes with --without-quorum", "leave it out: the leader kills", Exit.USAGE)
    what = f"trading halts and EVERY order is cancelled (cause {cause})"
    if without_quorum:
        what += ", by one node's hand, without asking the others"
    act(context, "kill", {"cause": cause, "without_quorum": without_quorum}, what, options, node=node)


@click.command()
@click.option("--cause", "causes", multiple=True, help="Lift this cause; repeat it for several.")
@click.option("--all", "everything", is_flag=True, help="Lift every cause that status shows now.")
@click.option("--risk-index", type=click.IntRange(0), help="The risk index that you saw; by default the one now.")
@acting_options
@click.pass_context
def resume(
    context: click.Context, /, causes: tuple[str, ...], everything: bool, risk_index: int | None, **options: Any
) -> None:
    """Lift causes of a halt or a reduction.  Trading goes on when no cause is left.

    Refused if the risk state has changed since you looked at it.
    """
    if bool(causes) == everything:
        raise CliError("which causes?", "give --cause NAME (as status shows them), or --all", Exit.USAGE)
    document = merged(trio.run(Client(place_of(context)).read_all, PATH))
    risk = document.get("risk") or {}
    shown = list(dict.fromkeys(str(one["cause"]) for one in (*risk.get("halts", ()), *risk.get("reduces", ()))))
    lifted = shown if everything else list(causes)
    if not lifted:
        raise CliError("there is no cause to lift", "look at `meltica status`", Exit.REFUSED)
    left = [one for one in shown if one not in lifted]
    after = f"what stays: {', '.join(left)}" if left else "no cause stays, so trading goes on"
    index = risk.get("index") if risk_index is None else risk_index
    what = f"lift {', '.join(lifted)} (risk index {index}); {after}"
    act(context, "resume", {"causes": lifted, "risk_index": index}, what, options)
