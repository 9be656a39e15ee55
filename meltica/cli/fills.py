"""Fills: `meltica fills`."""

from __future__ import annotations

from typing import Any, Final

import click

from meltica.cli.pages import page_options, show_pages

COLUMNS: Final = (
    "seq",
    "at",
    "venue",
    "symbol",
    "trade_id",
    "strategy",
    "side",
    "price",
    "quantity",
    "fee",
    "fee_asset",
)


@click.command()
@page_options
@click.pass_context
def fills(context: click.Context, /, **options: Any) -> None:
    """Every trade of ours, each once, oldest first.  What was traded just now: --last 50."""
    show_pages(context, "fills", COLUMNS, options)
