"""Audit: `meltica audit`, every command with its decision and reason."""

from __future__ import annotations

from typing import Any, Final

import click

from meltica.cli.pages import page_options, show_pages

COLUMNS: Final = ("seq", "at", "index", "place", "kind", "by", "reason", "rejection")


@click.command()
@page_options
@click.pass_context
def audit(context: click.Context, /, **options: Any) -> None:
    """The audit trail, oldest first; chained by hash, so a gap or a change shows.  What just happened: --last 50."""
    show_pages(context, "audit", COLUMNS, options)
