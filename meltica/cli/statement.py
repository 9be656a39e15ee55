"""Statement: what an operator is told of a recovery: what there is, what may be missing, what will be, what is next.

Pure; only words and the document made of a plan may live here.  It is read at three in the morning, by somebody who has
just lost two machines: what is gone is said plainly, and what is not known too.
"""

from __future__ import annotations

import json
from pathlib import Path
from shlex import quote
from typing import Any, Final

from meltica.build import own_build
from meltica.cli.output import moment
from meltica.listening import Heard
from meltica.recover import CAUSE, PAGE, Plan, Seen, Sought

SCHEMA: Final = "meltica.recover/1"
PAPER: Final = "recovered.json"  # beside the folders: what was said before it was done
COPY: Final = (
    "this folder was copied, moved or restored, or was empty when the others had begun; no leader has brought it up "
    "since: it may be older than what that node had last"
)
SHOWN: Final = 8  # positions that are named

Line = tuple[str, str]  # a label, and what is said


def statement(plan: Plan, *, rehearsed: bool) -> dict[str, list[Line]]:
    """All that is to be read before it is confirmed, under its headings."""
    name = "another" if rehearsed else plan.founding.cluster  # each founding mints its own
    return {"What is here": here(plan), "What may be missing": missing(plan), "What it will be": to_be(plan, name)}


def here(plan: Plan) -> list[Line]:
    """What the folder has."""
    survivor, taken = plan.survivor, plan.taken
    lines = [
        ("folder", f"{plan.verified.folder}, of node {survivor.node} of cluster {survivor.cluster}"),
        ("log", f"entries {survivor.first:,} to {survivor.last:,}, the last of term {survivor.last_term}"),
        ("newest", f"{moment(taken.clock)} by the log's clock, which an idle cluster tells once a minute"),
        ("committed", _committed(plan)),
        ("orders", f"{taken.open} open, {taken.in_doubt} of them in doubt"),
        ("positions", _positions(taken)),
        ("trading", _trading(taken)),
        (
            "looked for",
            f"{', '.join(str(one) for one in plan.sought if not one.heard)}: none of them takes a connection",
        ),
    ]
    word = "by your word (--not-a-node) it is no node"
    lines += [("not a node", f"{one} takes connections ({heard.shows}): {word}") for one, heard in _strangers(plan)]
    if survivor.suspect:
        lines.append(("a copy", COPY))
    unshown = [one for one in plan.verified.findings if one.held is None]
    lines += [("not shown", one.text) for one in unshown]
    return lines


def _strangers(plan: Plan) -> list[tuple[Sought, Heard]]:
    """What answers where a node was, and is none by the operator's word."""
    return [(one, one.heard) for one in plan.sought if one.heard is not None]


def _committed(plan: Plan) -> str:
    survivor = plan.survivor
    known = f"up to entry {survivor.whole:,}, as this node has heard"
    if not survivor.tail:
        return f"{known}: all of the log"
    return (
        f"{known}; the {survivor.tail:,} behind it, to {survivor.last:,}, may have been committed by the lost nodes: "
        "they are TAKEN, as an elected leader would (nothing is sent for them; what they ordered is asked for at the "
        "venue)"
    )


def missing(plan: Plan) -> list[Line]:
    """What it lacks, as far as it knows; and that it can't know all."""
    survivor = plan.survivor
    lines = [
        ("known", f"AT LEAST {lack.at_least:,}: {lack.why} ({lack.rank[1]:,} of term {lack.rank[0]})")
        for lack in survivor.lacks
    ]
    lost = " and ".join(plan.lost) or "the lost nodes"
    gone = (
        f"whatever {lost} acknowledged without {survivor.node}, after {moment(plan.since)}, is GONE and can't be "
        "counted here: orders, fills, and what operators said (a halt, too)"
    )
    open_there = (
        "orders that this log does not know may be open there. The takeover finds them by their id, counts their "
        "fills, and reports them (unknown_order); it does not cancel them: you do, on the venue's own page"
    )
    known = lines or [("known", "no entry is known to be missing")]
    return [*known, ("not known", gone), ("at the venue", open_there), *_unrecorded(plan)]


def _unrecorded(plan: Plan) -> list[Line]:
    """What it has no record of, as a snapshot was installed: only the others had."""
    spans = ", ".join(f"from {gap.first:,} to {gap.last:,}" for gap in plan.verified.gaps)
    if not spans:
        return []
    lost = "a snapshot took their place here, the lost nodes had them, and perhaps an archive of theirs has"
    return [("audit trail", f"the records of the entries {spans}: {lost}. What they led to is in the state")]


def to_be(plan: Plan, name: str) -> list[Line]:
    """The cluster that is founded."""
    founding = plan.founding
    quotes = "what this log knows to rest is cancelled at the start"
    if plan.wish.leave_quotes:
        quotes = "what rests is left to its strategies' gap policies"
    return [
        ("cluster", f"{name}, a new one: its nodes and those of {plan.survivor.cluster} refuse each other"),
        ("nodes", f"{', '.join(founding.nodes)}: a folder for each"),
        ("log", f"goes on at entry {plan.survivor.last + 1:,}, in term {founding.term:,}"),
        ("trading", f"HALTED (cause {CAUSE}) and in MANUAL mode until you say otherwise; {quotes}"),
        ("may trade", _may_trade(plan)),
    ]


def _may_trade(plan: Plan) -> str:
    what = f"this build ({own_build()}), with the settings of {plan.settings.file} under the new cluster's name"
    if plan.approved:
        return f"{what}, as the old cluster had approved it"
    return f"{what}: the old cluster had NOT approved these together; read the settings before you promote"


def _positions(seen: Seen) -> str:
    told = [f"{quantity} {symbol} at {venue}" for venue, symbol, quantity in seen.positions[:SHOWN]]
    more = len(seen.positions) - len(told)
    return ", ".join([*told, *([f"and {more} more"] if more > 0 else [])]) or "none"


def _trading(seen: Seen) -> str:
    causes = f" ({', '.join(seen.causes)})" if seen.causes else ""
    return f"{seen.trading}{causes}, {seen.mode} mode, when this node last took part"


# --- what is next ------------------------------------------------------------------------------------------------


def steps(plan: Plan, out: Path) -> list[str]:
    """What to do next, in order; what can be a command is one."""
    old, new, settings = plan.survivor.cluster, plan.founding.cluster, plan.settings
    lost = ", ".join(plan.lost) or "the lost nodes"
    return [
        f"make sure that {lost} of cluster {old} never run again: switch them off, or change the API key at the venue",
        f'in every node\'s settings: sed -i \'s/^cluster = "{old}"/cluster = "{new}"/\' {quote(str(settings.file))}',
        *_naming(plan),
        f'where operators sit: sed -i \'s/^id = "{old}"/id = "{new}"/\' cluster.toml',
        *[_placing(plan, out, name) for name in plan.founding.nodes],
        *[f"start {name}: meltica node run --config its settings" for name in plan.founding.nodes],
        "meltica cluster status   (a majority up, somebody leads, all digests equal)",
        f"then go on as {PAGE} says: compare with the venue, promote, resume",
        f"once all of them run, remove {out}: its folders are for one start each",
    ]


def _naming(plan: Plan) -> list[str]:
    """Where the log does not say who takes part, the settings do: two that differ would count other majorities."""
    if plan.survivor.spoken:
        return []
    return [f"in every node's settings: [peers] names {', '.join(plan.founding.nodes)}, as {plan.settings.file} does"]


def _placing(plan: Plan, out: Path, name: str) -> str:
    """Copied and not moved, as a start from it may fail; synced, as a node syncs what it writes itself, not this."""
    settings = plan.settings
    if name == settings.node.name == plan.survivor.node:
        data, made = quote(str(settings.node.data)), quote(str(out / name))
        aside = quote(f"{settings.node.data}.of-{plan.survivor.cluster}")
        return f"here, {name}: mv {data} {aside} && cp -a {made} {data} && sync"
    host = settings.peers[name].peer.host
    return f"on {host}, {name}: its data folder away if there is one, then {out / name} copied there in its place; sync"


# --- for programs ------------------------------------------------------------------------------------------------


def document(plan: Plan, out: Path | None, *, done: bool) -> dict[str, Any]:
    """The same, whole."""
    survivor, founding = plan.survivor, plan.founding
    return {
        "schema": SCHEMA,
        "verdict": "recovered" if done else "rehearsed",
        "folder": str(plan.verified.folder),
        "out": None if out is None else str(out),
        "said": {"at": plan.at, "actor": plan.wish.actor, "reason": plan.wish.reason},
        "from": {"cluster": survivor.cluster, "node": survivor.node, "name": plan.settings.node.cluster_name},
        "log": {
            "first_index": survivor.first,
            "last_index": survivor.last,
            "last_term": survivor.last_term,
            "term": survivor.term,
            "committed_index": survivor.committed,
            "applied_index": survivor.applied,
            "uncommitted": survivor.tail,
            "applied_at_wall_ns": plan.stored.clock,
            "committed_at_wall_ns": plan.since,
            "last_at_wall_ns": plan.taken.clock,
            "copy": survivor.suspect,
        },
        "looked_for": [{"name": one.name, "address": one.address} for one in plan.sought if one.heard is None],
        "not_a_node": [
            {"name": one.name, "address": one.address, "shows": heard.shows} for one, heard in _strangers(plan)
        ],
        "missing": {
            "at_least": survivor.missing,
            "known_by": [
                {"term": one.rank[0], "index": one.rank[1], "at_least": one.at_least, "why": one.why}
                for one in survivor.lacks
            ],
        },
        "state": _seen(plan.taken),
        "cluster": {
            "cluster": founding.cluster if done else None,  # each founding mints its own
            "nodes": list(founding.nodes),
            "term": founding.term,
            "index": plan.index,
            "state_digest": plan.digest if done else None,
            "trading": "halted",
            "mode": "manual",
            "leave_quotes": plan.wish.leave_quotes,
            "approved_before": plan.approved,
        },
        "checks": [
            {"name": one.name, "held": one.held, "looked_at": one.looked_at, "text": one.text}
            for one in plan.verified.findings
        ],
        "next": [] if out is None else steps(plan, out),
    }


def _seen(seen: Seen) -> dict[str, Any]:
    return {
        "trading": seen.trading,
        "mode": seen.mode,
        "causes": list(seen.causes),
        "orders": {"open": seen.open, "in_doubt": seen.in_doubt},
        "positions": [{"venue": v, "symbol": s, "quantity": q} for v, s, q in seen.positions],
    }


def paper(plan: Plan, out: Path) -> bytes:
    """What lies beside the folders."""
    return json.dumps(document(plan, out, done=True), indent=1).encode() + b"\n"
