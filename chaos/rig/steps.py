"""Steps: what the measurements ask of a running cluster, and how they judge it once it has ended.

Only waiting, asking and judging may live here; when and in which order is for the measurements.
"""

from __future__ import annotations

import shutil
import tempfile
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import click
import trio
from attrs import define

from chaos.checkers.all import CHECKS
from chaos.checkers.audit_trail import audit_trail
from chaos.checkers.history import History, Request, named
from chaos.checkers.in_authority import in_authority
from chaos.checkers.intent_first import intent_first
from chaos.checkers.verdict import Check
from chaos.checkers.windows_apart import windows_apart
from chaos.rig.gather import gather, json_lines
from chaos.rig.processes import NODES, Rig
from chaos.rig.watch import ActRefused, Watcher

NEAR: Final = 2.0  # seconds between a node that stood still and the election that came of it
WITHIN: Final = 60.0  # seconds; for another process to come to what is waited for
MEASURED: Final = "measured"  # the cause of the halt at the end
AT_ANY_MOMENT: Final = (  # shared checks that need no cluster at rest
    "one_trader",
    "intent_first",
    "one_send",
    "halt_survives",
    "audit_trail",
    "in_authority",
    "windows_apart",
)
OF_EVERYBODY: Final = (intent_first, audit_trail)  # shared checks that need who was removed too
SETTLED_WITHIN: Final = 180.0  # after the halt: every doubt takes the venue's settle time, and reads


@define
class Evidence:
    """One cluster's folder; gone after the block that it was made for, unless somebody should look at it."""

    folder: Path
    keep: bool = False


@contextmanager
def evidence(within: Path | None = None) -> Iterator[Evidence]:
    """A new one, where temporary files lie or `within`; kept, and named, if the block fails or says so."""
    found = Evidence(Path(tempfile.mkdtemp(prefix="meltica-measure-", dir=within)))
    try:
        yield found
    except Exception:
        found.keep = True
        raise
    finally:
        if found.keep:
            click.echo(f"not as it should be: the cluster's folder is kept: {found.folder}", err=True)
        else:
            shutil.rmtree(found.folder, ignore_errors=True)


async def active(watcher: Watcher) -> tuple[str, int]:
    """Who trades, by its own word, and in which epoch.  Raises trio.TooSlowError."""
    with trio.fail_after(WITHIN):
        while True:
            for name, status in (await watcher.statuses()).items():
                if status["active"] == name:
                    return name, int(status["epoch"])
            await trio.sleep(0.05)


async def promotable(watcher: Watcher, trader: str) -> str:
    """A standby that could take over, as the active node knows it.  Raises trio.TooSlowError."""
    with trio.fail_after(WITHIN):
        while True:
            status = await watcher.status(trader)
            for node in (status or {}).get("nodes", ()):
                if node["name"] != trader and node.get("promotable"):
                    return str(node["name"])
            await trio.sleep(0.1)


async def in_order(watcher: Watcher) -> tuple[str, int]:
    """Who trades, and in which epoch, with every cause of a halt lifted: a third leader lost in ten minutes halts.

    Raises trio.TooSlowError.
    """
    with trio.fail_after(WITHIN):
        while True:
            name, epoch = await active(watcher)
            status = await watcher.status(name)
            if status is not None and status["trading"] == "running" and status["active"] == name:
                return name, epoch
            causes = [one["cause"] for one in (status or {}).get("risk", {}).get("halts", ())]
            if status is not None and causes:
                with suppress(ActRefused):
                    wish = {"causes": causes, "risk_index": status["risk"]["index"]}
                    await watcher.act(name, "resume", wish, "measuring: a lost leader is counted by itself")
            await trio.sleep(0.1)


async def caught_up(watcher: Watcher, name: str) -> None:
    """It could take over, by its own word.  Raises trio.TooSlowError."""
    with trio.fail_after(WITHIN):
        while True:
            status = await watcher.status(name)
            if any(one["name"] == name and one.get("promotable") for one in (status or {}).get("nodes", ())):
                return
            await trio.sleep(0.1)


async def resumed(watcher: Watcher, cluster: str, epoch: int) -> None:
    """The venue has admitted an order of an epoch newer than this.  Raises trio.TooSlowError."""
    with trio.fail_after(WITHIN):
        while not any(_newer(record, cluster, epoch) for record in watcher.new_records()):  # noqa: ASYNC110 - a file is read, by polling
            await trio.sleep(0.05)


def _newer(record: Mapping[str, Any], cluster: str, epoch: int) -> bool:
    if record["type"] != "request" or record["method"] != "order.place" or not record["admitted_mono_ns"]:
        return False
    parts = named(record["client_order_id"], cluster)
    return parts is not None and parts.epoch > epoch


async def ended(rig: Rig, watcher: Watcher) -> Check:
    """Halt, wait until all is quiet and all agree, and end every process; whether it was so in time.

    Raises trio.TooSlowError if nobody can be halted.
    """
    await halted(watcher)
    return await rested(rig, watcher)


async def halted(watcher: Watcher) -> None:
    """Halt whoever trades.  Raises trio.TooSlowError if nobody can be."""
    with trio.fail_after(WITHIN):
        while True:
            name, _ = await active(watcher)
            with suppress(ActRefused):
                await watcher.act(name, "halt", {"cause": MEASURED}, "measuring: the end")
                return
            await trio.sleep(0.1)


async def rested(rig: Rig, watcher: Watcher) -> Check:
    """Wait until all is quiet and all agree, and end every process; whether it was so in time."""
    came_to_rest = await _rest(watcher)
    await rig.stop(NODES)
    await rig.stop(("venue",))
    return came_to_rest


async def _rest(watcher: Watcher) -> Check:
    statuses: dict[str, dict[str, Any]] = {}
    with trio.move_on_after(SETTLED_WITHIN):
        while not settled(statuses):
            await trio.sleep(0.1)
            statuses = await watcher.statuses() or statuses
        return Check("came_to_rest", 1, ())
    seen = {name: (one["orders"], one["active"], one["epoch"]) for name, one in statuses.items()}
    return Check("came_to_rest", 1, (f"open, in doubt, or unlike {SETTLED_WITHIN:g} s after the halt: {seen}",))


def settled(statuses: dict[str, dict[str, Any]]) -> bool:
    """Whether all nodes answer, nothing is open or in doubt, and all digests agree at one index."""
    if len(statuses) < len(NODES):
        return False
    ends = {(node["digest_index"], node["state_digest"]) for s in statuses.values() for node in _own(s)}
    quiet = all(s["orders"]["open"] == 0 and s["orders"]["in_doubt"] == 0 for s in statuses.values())
    return quiet and len(ends) == 1 and sum(len(_own(s)) for s in statuses.values()) == len(NODES)


def _own(status: dict[str, Any]) -> Sequence[dict[str, Any]]:
    """A status document's line on the node that served it."""
    return [node for node in status["nodes"] if node["name"] == status.get("served_by")]


def cluster_of(folder: Path) -> str:
    """The six digits that its orders begin with."""
    return str(tomllib.loads((folder / "nodes" / "n1" / "meltica.toml").read_text())["node"]["cluster"])


def judged(folder: Path, names: Sequence[str] = NODES, gone: Sequence[str] = ()) -> tuple[History, tuple[Check, ...]]:
    """What the venue and the nodes recorded, and what the shared checkers say of it.

    `gone`: who was removed, and is asked for what it had applied when it sent, and for its audit trail; for nothing
    else, as its state is an old one.
    """
    history = gather(folder, names, gone)
    everybody = gather(folder, (*names, *gone)) if gone else history
    own = [check(everybody if check in OF_EVERYBODY else history) for check in CHECKS]
    return history, (*own, in_authority(everybody), windows_apart(everybody))


def judged_at_any_moment(folder: Path) -> tuple[Check, ...]:
    """What is said of a cluster that came to no rest."""
    return at_any_moment(judged(folder)[1])


def at_any_moment(checks: Iterable[Check]) -> tuple[Check, ...]:
    """Those that need no cluster at rest; one that had nothing to look at there says nothing."""
    return tuple([one for one in checks if one.name in AT_ANY_MOMENT and (one.looked_at or one.violations)])


def summed(found: Iterable[Sequence[Check]]) -> tuple[Check, ...]:
    """The same checks of several clusters, as one each; one that looked at nothing in any of them has not held."""
    total: dict[str, Check] = {}
    for check in (one for checks in found for one in checks):
        before = total.get(check.name)
        if before is None:
            total[check.name] = check
            continue
        looked = before.looked_at + check.looked_at if before.looked_at and check.looked_at else 0
        total[check.name] = Check(check.name, looked, before.violations + check.violations)
    return tuple(total.values())


def admitted(history: History) -> list[tuple[int, int, Request]]:
    """Time, epoch and request of what of ours the venue admitted, in that order; the cancel mandate's left out."""
    found = []
    for request in history.requests:
        parts = named(request.client_order_id, history.cluster)
        if request.admitted_ns is not None and parts is not None and not parts.mandate:
            found.append((request.admitted_ns, parts.epoch, request))
    return sorted(found, key=lambda one: (one[0], one[2].seq))


def late(history: History) -> list[Request]:
    """What was admitted after something of a newer epoch: nothing, if one trades at a time."""
    newest, found = 0, []
    for _, epoch, request in admitted(history):
        if epoch < newest:
            found.append(request)
        newest = max(newest, epoch)
    return found


def elections(folder: Path) -> list[dict[str, Any]]:
    """Each time that a node became leader, by the nodes' own logs; `stall_ms`: see `_stall_ms`; `lost`: see `_lost`."""
    lines = [line for name in NODES for line in json_lines(folder / "logs" / f"{name}.jsonl")]
    stalls = [line for line in lines if line.get("event") == "the event loop stood still"]
    roles = sorted((one for one in lines if one.get("event") == "role changed"), key=lambda one: int(one["mono_ns"]))
    changes = [line for line in roles if line["role"] == "leader"]
    return [
        {**line, "stall_ms": _stall_ms(line, stalls), "lost": _lost(before, roles)}
        for before, line in zip((None, *changes), changes, strict=False)
    ]


def told(change: Mapping[str, Any]) -> dict[str, Any]:
    """What a measurement's document says of an election."""
    return {key: change.get(key) for key in ("term", "node", "reason", "lost", "stall_ms")}


def _lost(before: Mapping[str, Any] | None, roles: Iterable[Mapping[str, Any]]) -> dict[str, Any] | None:
    """How the leader before ended, by its own log: why it stepped down, and when."""
    if before is None:
        return None
    for line in roles:
        if (
            line["node"] == before["node"]
            and int(line["mono_ns"]) > int(before["mono_ns"])
            and line["role"] != "leader"
        ):
            return {key: line.get(key) for key in ("node", "role", "reason", "mono_ns")}
    return {"node": before["node"]}


def _stall_ms(change: Mapping[str, Any], stalls: Iterable[Mapping[str, Any]]) -> float:
    """The longest time for which a node stood still about then: on a busy machine that is what ends a leader."""
    at = _second(change)
    return max((round(int(one["ns"]) / 1e6, 1) for one in stalls if abs(_second(one) - at) <= NEAR), default=0.0)


def _second(line: Mapping[str, Any]) -> float:
    return datetime.fromisoformat(str(line["wall"])).timestamp()
