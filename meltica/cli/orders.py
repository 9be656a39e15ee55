"""Orders: `meltica orders`, and an operator's own `cancel` and `submit`."""

from __future__ import annotations

from functools import partial
from typing import Any, Final

import click
import trio

from meltica.api.outcomes import Exit
from meltica.cli.acting import act, acting_options
from meltica.cli.client import Client
from meltica.cli.errors import CliError
from meltica.cli.output import as_of, console, node_option, output_option, print_json, table_of
from meltica.cli.place import place_of
from meltica.core.values import OrderType, Side, TimeInForce

COLUMNS: Final = ("id", "strategy", "symbol", "side", "type", "quantity", "price", "filled", "state", "asked")


@click.command()
@click.option("--all", "everything", is_flag=True, help="Those that are over too.")
@node_option
@output_option
@click.pass_context
def orders(context: click.Context, everything: bool, node: str | None, output: str) -> None:
    """Orders that may still live, newest first."""
    path = "/api/v1/orders?all=true" if everything else "/api/v1/orders"
    document = trio.run(partial(Client(place_of(context)).freshest, path, node))
    if output == "json":
        print_json(document)
        return
    out = console()
    rows = document["orders"]
    out.print(table_of(f"{len(rows)} orders", COLUMNS, ([row.get(key) for key in COLUMNS] for row in rows)))
    out.print(as_of(document), style="dim")


@click.command()
@click.argument("order", required=False)
@click.option("--strategy", help="Every order of this strategy.")
@click.option("--symbol", help="Every order on this symbol.")
@click.option("--all", "everything", is_flag=True, help="Every order of ours.")
@acting_options
@click.pass_context
def cancel(
    context: click.Context,
    /,
    order: str | None,
    strategy: str | None,
    symbol: str | None,
    everything: bool,
    **options: Any,
) -> None:
    """Cancel ORDER (its client order id), or every order of a strategy, on a symbol, or of ours.

    Trading goes on: a strategy may quote again at once.  To stop it, use `meltica halt`.
    """
    if not (order or strategy or symbol or everything):
        raise CliError("which orders?", "give ORDER, --strategy, --symbol or --all", Exit.USAGE)
    wish = {"order": order, "strategy": strategy, "symbol": symbol, "all": everything or None}
    words = " ".join(f"{key} {value}" for key, value in wish.items() if value and key != "all")
    act(context, "cancel", wish, f"cancel {words or 'every order of ours'}", options)


@click.command()
@click.argument("venue")
@click.argument("symbol")
@click.argument("side", type=click.Choice([one.value for one in Side], case_sensitive=False))
@click.argument("quantity")
@click.option("--price", help="Of a limit order; without one it is a market order.")
@click.option("--time-in-force", type=click.Choice([one.value for one in TimeInForce], case_sensitive=False))
@click.option("--post-only", is_flag=True, help="Refuse it rather than take.")
@acting_options
@click.pass_context
def submit(
    context: click.Context,
    /,
    *,
    venue: str,
    symbol: str,
    side: str,
    quantity: str,
    price: str | None,
    time_in_force: str | None,
    post_only: bool,
    **options: Any,
) -> None:
    """Send an order by hand: it passes the same limits as any other."""
    wish = {
        "venue": venue,
        "symbol": symbol,
        "side": side,
        "type": OrderType.LIMIT.value if price else OrderType.MARKET.value,
        "quantity": quantity,
        "price": price,
        "time_in_force": time_in_force,
        "post_only": post_only or None,
    }
    at = f"at {price}" if price else "at the market"
    act(context, "submit", wish, f"{side} {quantity} {symbol} {at} on {venue}", options)
