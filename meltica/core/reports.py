"""Reports: what a node says that it is, and where its API is, as bytes for its peers, and back.

Only that form may live here.  It is what replication carries between nodes (`cluster.wire.Vouch`), at most 1 KiB.
"""

from __future__ import annotations

from typing import Any, Final

from attrs import frozen

from meltica.core.commands import NodeReport
from meltica.core.values import BadValue
from meltica.core.wire import Form, parse


@frozen
class Introduction:
    """A report, and where its node's API is; that is of no concern to the log."""

    report: NodeReport
    api: str  # https://host:port


FORM: Final[Form[Any]] = Form(NodeReport)
WITH_API: Final[Form[Any]] = Form(Introduction)


def written(report: NodeReport, api: str = "") -> bytes:
    """Canonical JSON."""
    return WITH_API.write(Introduction(report, api)) if api else FORM.write(report)


def read(raw: bytes) -> NodeReport | None:
    """None for whatever is no report: a peer of another build may say more than is known here."""
    found = _introduction(raw)
    if found is not None:
        return found.report
    try:
        report: NodeReport = FORM.read(parse(raw))
    except BadValue:
        return None
    return report


def api_of(raw: bytes) -> str:
    """Where its API is, by its own word; "" where it says nothing."""
    found = _introduction(raw)
    return "" if found is None else found.api


def _introduction(raw: bytes) -> Introduction | None:
    try:
        found: Introduction = WITH_API.read(parse(raw))
    except BadValue:
        return None
    return found
