"""Fail closed (rule 9): a node that can't reach a majority, or can't sync, stops sending.

Pure.  Whatever it may still send was committed, so a majority answered, and its own disk had synced, after the send's
s, and s is less than W old.  So behind the beginning of such a time, and W by the slowest clock that is allowed,
nothing is written until that time is over; only the cancel mandate is.
"""

from __future__ import annotations

from bisect import bisect_right

from chaos.checkers.conduct import ALONE, Conduct, Sent
from chaos.checkers.history import named
from chaos.checkers.verdict import Check

WORDS = {ALONE: "had no majority", "disk": "could not sync"}


def fail_closed(conduct: Conduct) -> Check:
    """Looks at every request that was written, against every such time of its node."""
    sent = [one for one in conduct.sent if not _of_the_mandate(one, conduct.cluster)]
    by_node: dict[str, list[Sent]] = {}
    for one in sorted(sent, key=lambda each: each.at):
        by_node.setdefault(one.node, []).append(one)
    violations = []
    for outage in conduct.outages:
        written = by_node.get(outage.node, [])
        allowed = outage.begin + conduct.longest_window
        for one in written[bisect_right(written, allowed, key=lambda each: each.at) :]:
            if one.at >= outage.end:
                break
            since = (one.at - outage.begin) / 1e6
            violations.append(f"{one.node} wrote {one.intent}, and {WORDS[outage.what]} for {since:.1f} ms")
    return Check("fail_closed", len(sent), tuple(violations))


def _of_the_mandate(sent: Sent, cluster: str) -> bool:
    parts = named(sent.intent, cluster)
    return parts is not None and parts.mandate
