"""Errors: what an operator reads instead of a traceback.

Only `CliError` may live here: what went wrong, what to do next, and the exit code of contracts.md section 10.
"""

from __future__ import annotations

from typing import IO, Any

import click

from meltica.api.outcomes import Exit


class CliError(click.ClickException):
    """A command that did not do what was asked."""

    def __init__(self, message: str, following: str = "", code: Exit = Exit.FAILED) -> None:
        super().__init__(message)
        self.following = following
        self.exit_code = int(code)  # type: ignore[misc] # click's own way: an instance may differ from its class

    def show(self, file: IO[Any] | None = None) -> None:
        """Say it on stderr, the next step on a line of its own."""
        click.echo(f"meltica: {self.message}", file=file, err=file is None)
        if self.following:
            click.echo(f"  next: {self.following}", file=file, err=file is None)
