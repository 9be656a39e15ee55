"""Reports: what a node says that it is, as bytes for its peers, and back.

Only that form may live here.  It is what replication carries between nodes (`cluster.wire.Vouch`), at most 1 KiB.
"""

from __future__ import annotations

from typing import Any, Final

from meltica.core.commands import NodeReport
from meltica.core.values import BadValue
from meltica.core.wire import Form, parse

FORM: Final[Form[Any]] = Form(NodeReport)


def written(report: NodeReport) -> bytes:
    """Canonical JSON."""
    return FORM.write(report)


def read(raw: bytes) -> NodeReport | None:
    """None for whatever is no report: a peer of another build may say more than is known here."""
    try:
        found: NodeReport = FORM.read(parse(raw))
    except BadValue:
        return None
    return found
