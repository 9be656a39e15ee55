"""Broken: what kept a measure, or a bench, from its end, so that what it had found by then is told all the same.

Only that may live here.  Nothing is forgiven: what was broken off has failed, whatever the rest of it shows; so has
what somebody ended, by SIGTERM or Ctrl-C (`interrupted`).
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator, Sequence, Sized
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import click
from attrs import define

from chaos.checkers.history import History
from chaos.checkers.verdict import Check
from chaos.rig.gather import gather
from chaos.rig.interrupted import is_interrupt
from chaos.rig.steps import judged

PLAYED: Final = "played"
Judge = Callable[[Path], tuple[History, tuple[Check, ...]]]


@define
class Broken:
    """Why it did not come to its end; "": it did."""

    why: str = ""
    by: BaseException | None = None

    @property
    def interrupted(self) -> bool:
        """Whether somebody ended it: nothing more is to be begun."""
        return self.by is not None and is_interrupt(self.by)

    def again(self) -> None:
        """Raise it, where there is one and the rest has been told."""
        if self.by is not None:
            raise self.by

    @property
    def checks(self) -> tuple[Check, ...]:
        """The check that fails because of it; none if there is nothing to say."""
        return (Check(PLAYED, 1, (self.why,)),) if self.why else ()


@contextmanager
def so_far(found: Sized) -> Iterator[Broken]:
    """What ends the block is noted, and shown whole; it is raised where there is nothing in `found` by then."""
    broken = Broken()
    try:
        yield broken
    except (Exception, KeyboardInterrupt, BaseExceptionGroup) as error:
        if not len(found) or not (isinstance(error, Exception) or is_interrupt(error)):
            raise
        broken.why, broken.by = words(error), error
        click.echo(broken.why if broken.interrupted else traceback.format_exc(), err=True)


def broke_off(checks: Sequence[Check]) -> bool:
    """Whether one of them says so."""
    return any(one.name == PLAYED for one in checks)


def judged_so_far(
    folder: Path, broken: Broken, rest: Check | None, judge: Judge = judged
) -> tuple[History, tuple[Check, ...]]:
    """What a cluster recorded, and what the shared checkers say of it.

    Of one that was broken off what the venue saw, and that: the checkers are about clusters that came to rest.
    """
    if not broken.why and rest is not None:
        try:
            history, checks = judge(folder)
        except Exception as error:  # noqa: BLE001 - a damaged store, or a fault of our own: told, never the drill's loss
            broken.why = f"it can't be judged: {words(error)}"
            click.echo(traceback.format_exc(), err=True)
        else:
            return history, (*checks, rest)
    return gather(folder, ()), broken.checks


def words(error: BaseException) -> str:
    """What an exception says, with its name, as some say nothing; of a group, what each in it says."""
    if isinstance(error, BaseExceptionGroup):
        return "; ".join(words(inner) for inner in error.exceptions)
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
