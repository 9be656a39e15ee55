"""What a person sees of a demo, on 80 columns."""

from __future__ import annotations

import io

from rich.console import Console

from chaos.demo.conduct import Scene
from chaos.demo.screen import PlainScreen, open_screen, picture, report

WIDTH = 80


def drawn(what):
    console = Console(width=WIDTH, file=io.StringIO(), legacy_windows=False)
    console.print(what)
    text = console.file.getvalue()
    assert all(len(line) <= WIDTH for line in text.splitlines())
    return text


def status(name, active):
    rows = [
        {
            "name": one,
            "role": "leader" if one == active else "follower",
            "committed_index": 123456,
            "applied_index": 123456 if one == active else 123450,
            "active": one == active,
            "promotable": one == "n2",
            "why_not": "" if one == "n2" else "paper: no signed read of the account yet",
        }
        for one in ("n1", "n2", "n3")
    ]
    position = {
        "symbol": "BTCUSDT",
        "quantity": "-12.345678",
        "average_price": "60123.4567890123",
        "mark": "60125.005",
        "realised": "-1234.5678901",
        "unrealised": "12.3",
    }
    return {
        "as_of": {"index": 123456},
        "trading": "running",
        "epoch": 12,
        "active": active,
        "nodes": rows,
        "orders": {"open": 8, "in_doubt": 1},
        "positions": [position, {**position, "symbol": "ETHUSDT", "mark": None, "unrealised": None}],
        "served_by": name,
    }


def test_the_picture_shows_who_trades_how_far_each_is_and_what_is_held():
    scene = Scene(elapsed=20, duration=60, doing="trading")
    scene.statuses = {name: status(name, "n1") for name in ("n1", "n2")}
    scene.down = {"n3"}
    scene.counts = {"requests": 12345, "rejected": 12, "fills": 4321}
    scene.say("x" * 200)
    text = drawn(picture(scene))
    n1, n2, n3 = (next(line for line in text.splitlines() if line.startswith(name)) for name in ("n1", "n2", "n3"))
    assert n1.split() == ["n1", "leader", "12", "123456", "0", "TRADES"]
    assert n2.split()[:5] == ["n2", "follower", "12", "123450", "6"]
    assert "killed" in n3
    assert "sent 12345, refused 12, fills 4321, open 8, in doubt 1" in text
    assert "BTCUSDT  -12.345678  60,123.46  60,125.00  -1,234.57       12.30" in text
    assert "PnL" in text
    assert "…" in next(line for line in text.splitlines() if "xxx" in line)  # cut, not wrapped


def test_before_anybody_answers_there_is_a_picture_too():
    assert "no answer" in drawn(picture(Scene(duration=10)))


def test_the_report_fits_whatever_the_numbers_are():
    phases = ("detected", "elected", "epoch_committed", "reconciled", "authority", "first_order")
    failovers = [
        {"kind": "promote", "from": "n1", "to": None, "epoch_from": 998, "epoch_to": None, "gap_ms": None},
        {"kind": "kill", "from": "n1", "to": "n2", "epoch_from": 998, "epoch_to": 999, "gap_ms": 12345.6},
    ]
    for failover in failovers:
        failover["phases_ms"] = dict.fromkeys(phases, 12345.6)
    checks = [{"name": "every_fill_once", "held": False, "looked_at": 12345, "violations": ["a long word " * 20]}]
    venue = {"requests": 1, "accepted": 1, "rejected": 0, "fills": 0}
    text = drawn(report({"verdict": "fail", "failovers": failovers, "checks": checks, "venue": venue}))
    assert "…" not in text
    assert text.count("12346") == 13
    assert "998>999" in text
    assert "nobody" in text
    assert "verdict: fail" in text


def test_without_a_terminal_each_thing_is_one_line_and_said_once():
    console = Console(width=WIDTH, file=io.StringIO())
    with open_screen(console) as screen:
        assert isinstance(screen, PlainScreen)
        scene = Scene()
        for text in ("one", "two"):
            scene.say(text)
            screen.show(scene)
            screen.show(scene)
    assert console.file.getvalue() == "   0.0 s  one\n   0.0 s  two\n"
