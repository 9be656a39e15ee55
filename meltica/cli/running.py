"""Running: what the commands that stay (`node run`, `paper run`) have in common.

Only their shared option and the telling of their end may live here.  A process that stays writes nothing but
JSON to stderr, one object a line; so does its failure, whose traceback is in the log line and nowhere else.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final, TypeVar

import click

from meltica.api.outcomes import Exit
from meltica.telemetry.logs import make_logger

CHUNK: Final = 4096
Command = TypeVar("Command", bound=Callable[..., Any])

stop_option = click.option(
    "--stop-with-stdin",
    "with_stdin",
    is_flag=True,
    help="Stop, as by SIGTERM, when stdin is closed: so a child does not outlive its parent.",
)


@contextmanager
def running(name: str, *, with_stdin: bool) -> Iterator[None]:
    """The life of a process that stays: a failure in it is one line of the log for each cause, and exit code 1."""
    if with_stdin:
        threading.Thread(target=_until_stdin_ends, name="stdin", daemon=True).start()
    try:
        yield
    except Exception as error:
        log = make_logger(name)
        for cause in _causes(error):
            log.exception("stopped by an error", error=f"{type(cause).__name__}: {cause}", exc_info=cause)
        sys.exit(Exit.FAILED)


def _until_stdin_ends() -> None:
    while os.read(sys.stdin.fileno(), CHUNK):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The errors in a group, at any depth; the error itself if it is no group."""
    if not isinstance(error, BaseExceptionGroup):
        yield error
        return
    for inner in error.exceptions:
        yield from _causes(inner)
