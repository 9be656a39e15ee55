"""Serve: `meltica paper run`: from the settings to a running venue, and its end.

Only the wiring may live here.
"""

from __future__ import annotations

import errno
import json
import os
import secrets
import signal
import sys
from fractions import Fraction
from pathlib import Path

import trio

from meltica.marketdata.tapes import TapeError
from meltica.paper.exchange import open_exchange
from meltica.paper.floor import TimeLine
from meltica.paper.ledger import FileLedger, MemoryLedger
from meltica.paper.ports import LedgerSink
from meltica.paper.server import driver_clock, serve
from meltica.paper.settings import BadSettingsError, PaperSettings, load
from meltica.paper.venue import PaperVenue

READY = "meltica.ready/1"
SLOWEST, FASTEST = Fraction(1, 100), Fraction(100)


class CannotRunError(Exception):
    """The venue cannot start; the text says what to do."""


def run(
    config_path: str | Path,
    market: str = "synthetic",
    seed: int | None = None,
    speed: float | str = 1,
    ledger_path: str | Path | None = None,
) -> None:
    """Run the paper venue until SIGTERM or SIGINT; prints one line of JSON when it is ready.

    Args:
        config_path: paper.toml.
        market: `synthetic` or `tape:PATH`.
        seed: Of market, delays and chance; None draws one and logs it.
        speed: How many times as fast as the clock the market runs.
        ledger_path: Where the ledger is appended; None keeps it in memory only.

    Raises:
        SystemExit: With 1 if it cannot run; the reason is in the log.
    """
    try:
        trio.run(_run, Path(config_path), market, seed, speed, ledger_path)
    except (CannotRunError, BadSettingsError) as no:
        _log("error", "the paper venue cannot run", reason=str(no))
        raise SystemExit(1) from None


async def _run(
    config_path: Path, market: str, seed: int | None, speed: float | str, ledger_path: str | Path | None
) -> None:
    settings = load(config_path)
    chosen = secrets.randbits(32) if seed is None else seed
    listeners = await _listen(settings.host, settings.port)
    ledger = _open_ledger(ledger_path)
    clock = driver_clock()
    start_us = clock().wall_ns // 1000
    venue = _venue(settings, market, chosen, speed=_speed(speed), ledger=ledger, start_us=start_us)
    stop = trio.Event()
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async with trio.open_nursery() as nursery:
            await nursery.start(serve, venue, clock, listeners, stop)
            host, port = listeners[0].socket.getsockname()[:2]
            _log("info", "the paper venue is ready", market=market, seed=chosen, ledger=str(ledger_path))
            _say_ready(f"http://{host}:{port}")
            async for _ in signals:
                break
            stop.set()
    _log("info", "the paper venue has stopped", records=ledger.last_seq)


async def _listen(host: str, port: int) -> list[trio.SocketListener]:
    try:
        return await trio.open_tcp_listeners(port, host=host)
    except OSError as taken:
        in_use = taken.errno == errno.EADDRINUSE
        reason = "is in use; stop what listens there, or change `listen` in paper.toml" if in_use else str(taken)
        raise CannotRunError(f"{host}:{port} {reason}") from taken


def _open_ledger(path: str | Path | None) -> LedgerSink:
    if path is None:
        return MemoryLedger()
    try:
        return FileLedger(Path(path))
    except (OSError, ValueError) as bad:
        raise CannotRunError(f"the ledger {path} cannot be appended to: {bad}") from bad


def _venue(
    settings: PaperSettings, market: str, seed: int, *, speed: Fraction, ledger: LedgerSink, start_us: int
) -> PaperVenue:
    try:
        exchange = open_exchange(market, seed, start_us)
    except (ValueError, OSError, TapeError) as bad:
        raise CannotRunError(f"the market cannot be opened: {bad}") from bad
    return PaperVenue(
        exchange,
        settings.accounts,
        seed,
        ledger,
        delays=settings.delays,
        limits=settings.limits,
        line=TimeLine(start_us, speed) if speed != 1 else None,
    )


def _speed(text: float | str) -> Fraction:
    try:
        speed = Fraction(str(text))
    except (ValueError, ZeroDivisionError):
        speed = Fraction(0)
    if not SLOWEST <= speed <= FASTEST:
        raise CannotRunError(f"speed: found {text}, allowed: {SLOWEST} to {FASTEST}")
    return speed


def _say_ready(address: str) -> None:
    line = {"schema": READY, "name": "paper", "pid": os.getpid(), "api": address}
    sys.stdout.write(json.dumps(line, separators=(",", ":")) + "\n")
    sys.stdout.flush()


def _log(level: str, event: str, **more: object) -> None:
    sys.stderr.write(json.dumps({"level": level, "event": event, **more}) + "\n")
    sys.stderr.flush()
