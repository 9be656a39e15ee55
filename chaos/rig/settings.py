"""Settings: what is changed in the files of a cluster's folder before its nodes run.

Only that may live here, most of it text made from text.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from attrs import field, frozen

from chaos.rig.blame import Timers
from chaos.rig.processes import NODES

PEER: Final = re.compile(r'\[peers\.(\w+)\]\npeer = "127\.0\.0\.1:(\d+)"\napi = "127\.0\.0\.1:(\d+)"')
VENUE: Final = re.compile(r'^(rest|ws_api|stream)( = "(?:http|ws)://127\.0\.0\.1):(\d+)', re.MULTILINE)
WINDOW: Final = re.compile(r"^window_ms = \d+", re.MULTILINE)
WINDOW_MS: Final = 300  # as shipped
MAKER: Final = 'kind = "market_maker"'
QUOTING: Final = "parameters = { requote_ms = 160, tolerance_ticks = 0 }"


@frozen
class Ways:
    """The loopback ports by which one node goes to others instead of straight; what is not named stays as it is."""

    peers: Mapping[str, int] = field(factory=dict)  # by the name of the other node
    apis: Mapping[str, int] = field(factory=dict)  # the same, of the hop that carries an action on to the leader
    venue: Mapping[str, int] = field(factory=dict)  # rest, ws_api, stream


def settings_of(folder: Path, name: str) -> Path:
    """A node's settings."""
    return folder / "nodes" / name / "meltica.toml"


def peer_ports(text: str) -> Mapping[str, int]:
    """Where each node listens for its peers."""
    return {name: int(port) for name, port, _ in PEER.findall(text)}


def api_ports(text: str) -> Mapping[str, int]:
    """Where each node listens for operators."""
    return {name: int(port) for name, _, port in PEER.findall(text)}


def venue_ports(text: str) -> Mapping[str, int]:
    """Where the venue listens, by the way to it: rest, ws_api, stream."""
    return {way: int(port) for way, _, port in VENUE.findall(text)}


def led(text: str, ways: Ways) -> str:
    """A node's settings with these ways in it.

    `ways` must not name the node itself, which says there where it listens.
    """

    def peer(found: re.Match[str]) -> str:
        name = found[1]
        peer, api = ways.peers.get(name, found[2]), ways.apis.get(name, found[3])
        return f'[peers.{name}]\npeer = "127.0.0.1:{peer}"\napi = "127.0.0.1:{api}"'

    def venue(found: re.Match[str]) -> str:
        return f"{found[1]}{found[2]}:{ways.venue.get(found[1], found[3])}"

    return VENUE.sub(venue, PEER.sub(peer, text))


def steadily(folder: Path) -> None:
    """Have the makers of a cluster's folder, none of whose nodes runs yet, quote anew at every move of the market."""
    for name in NODES:
        path = settings_of(folder, name)
        text = path.read_text()
        if text.count(MAKER) != 1:
            raise ValueError(f"{path}: there is not one {MAKER}")
        path.write_text(text.replace(MAKER, f"{MAKER}\n{QUOTING}"))


def set_timers(folder: Path, timers: Timers) -> None:
    """The election timers: a cut still lasts many of them."""
    for name in NODES:
        path = settings_of(folder, name)
        path.write_text(f"{path.read_text()}\n[timers]\n{timers.toml()}")


def set_retention(folder: Path, entries: int) -> None:
    """Keep so many entries of the log, whatever the others have: who is away for longer is sent a snapshot."""
    for name in NODES:
        path = settings_of(folder, name)
        kept = f"enabled = true\nentries = {entries}\nmost_entries = {entries}\n"
        path.write_text(f"{path.read_text()}\n[retention]\n{kept}")


def set_slower(folder: Path, times: int) -> None:
    """Election timers and authority window so many times the shipped ones: for a machine that does other things too."""
    if times > 1:
        set_timers(folder, Timers().slower(times))
        set_window(folder, WINDOW_MS * times)


def set_window(folder: Path, ms: int) -> None:
    """The authority window: on a machine that is busy, 300 ms are over before a majority has synced."""
    for name in NODES:
        path = settings_of(folder, name)
        text = path.read_text()
        if len(WINDOW.findall(text)) != 1:
            raise ValueError(f"{path}: there is not one window_ms")
        path.write_text(WINDOW.sub(f"window_ms = {ms}", text))


def set_reserve(folder: Path, mib: int) -> None:
    """How much each node keeps free on its disk: with less it does not trade."""
    for name in NODES:
        path = settings_of(folder, name)
        text = path.read_text()
        if "disk_reserve_mib" in text or text.count("[node]\n") != 1:
            raise ValueError(f"{path}: there is a reserve, or not one [node]")
        path.write_text(text.replace("[node]\n", f"[node]\ndisk_reserve_mib = {mib}\n"))


def without_strategies(folder: Path) -> None:
    """Nobody sends but operators."""
    for name in NODES:
        path = settings_of(folder, name)
        before, _, rest = path.read_text().partition("[[strategies]]")
        path.write_text(before + "[trading]" + rest.partition("[trading]")[2])
