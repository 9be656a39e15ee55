"""Node: `meltica node run`, one node until SIGTERM."""

from __future__ import annotations

from pathlib import Path

import click

from meltica.api.outcomes import Exit
from meltica.cli.running import running, stop_option
from meltica.config import ConfigErrors, NodeSettings, load
from meltica.telemetry.logs import make_logger


@click.group()
def node() -> None:
    """Run nodes."""


@node.command()
@click.option("--config", "file", required=True, type=click.Path(dir_okay=False, path_type=Path), help="Its settings.")
@stop_option
@click.pass_context
def run(context: click.Context, file: Path, with_stdin: bool) -> None:
    """Run one node in the foreground: a line of JSON on stdout when it is ready, its log on stderr.

    SIGTERM or Ctrl-C drains and stops it.
    """
    settings = _settings(file)
    if settings is None:
        context.exit(int(Exit.FAILED))
    with running(settings.node.name, with_stdin=with_stdin):
        from meltica.node import run as run_node  # noqa: PLC0415 - broken settings are told before all that is loaded

        run_node(settings)


def _settings(file: Path) -> NodeSettings | None:
    """The settings; None after every error is in the log."""
    log = make_logger(file.parent.name or "node")
    try:
        settings = load(file)
    except ConfigErrors as errors:
        found = errors.errors
    else:
        for warning in settings.warnings:
            log.warning("a secret is readable by others", text=warning)
        return settings
    for error in found:
        log.error("a setting is wrong", file=str(file), path=error.path, found=error.found, allowed=error.allowed)
    log.error("not started", next=f"correct {file} and try again; `meltica config check {file}` tells the same")
    return None
