"""Missed: what of a fault was not done, where another fault of the plan may be why.

Pure.
"""

from __future__ import annotations


class DidNotRun(str):
    """The node did not run.

    The only word that the judge excuses, where another fault may have ended that node.  Every other word of what was
    not done is a plain text: an instant that never came, a venue that found nothing, an operator whom nobody obeyed.
    """

    __slots__ = ()


def did_not_run(name: str) -> DidNotRun:
    """Said of a node whose process is not there, or is stopped."""
    return DidNotRun(f"{name} does not run")
