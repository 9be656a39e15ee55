"""Control: the venue's own door, /paper/v1: its ledger and its faults.

Sans-IO.  It is not Binance's: nodes never use it; demos, checkers and chaos do.  It is never rate-limited and no
fault strikes it.
"""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import parse_qsl

from meltica.paper import ledger, render
from meltica.paper.faults import BadFaultError
from meltica.paper.floor import Floor
from meltica.paper.ports import Times

ROOT = "/paper/v1"
MOST_RECORDS = 10_000
USUAL_RECORDS = 1_000
SCHEMA = "meltica.paper/1"

JSON_TYPE = "application/json"
LINES_TYPE = "application/x-ndjson"

Answer = tuple[int, str, bytes]  # status, type, body


class Control:
    """Answers /paper/v1."""

    def __init__(self, floor: Floor) -> None:
        self._floor = floor

    def handle(self, method: str, path: str, query: str, body: bytes, now: Times) -> Answer:
        """One request."""
        rest = path.removeprefix(ROOT)
        if rest == "/ledger" and method == "GET":
            return self._ledger(query)
        if rest == "/faults":
            return self._faults(method, body, now)
        if rest.startswith("/faults/") and method == "DELETE":
            return self._heal(rest.removeprefix("/faults/"))
        return _say(404, {"error": f"no {method} {path} here; there are GET {ROOT}/ledger and {ROOT}/faults"})

    def _ledger(self, query: str) -> Answer:
        asked = dict(parse_qsl(query))
        texts = asked.get("after", "0"), asked.get("limit", str(USUAL_RECORDS))
        if not all(text.isdecimal() and len(text) < 20 for text in texts) or set(asked) - {"after", "limit"}:
            return _say(400, {"error": f"after and limit are whole numbers, and all there is; found {query[:200]!r}"})
        records = self._floor.recorder.sink.query(int(texts[0]), min(int(texts[1]), MOST_RECORDS))
        return 200, LINES_TYPE, "".join(map(ledger.line, records)).encode()

    def _faults(self, method: str, body: bytes, now: Times) -> Answer:
        faults = self._floor.faults
        if method == "GET":
            return _say(200, {"faults": [fault.view() for fault in faults.running.values()]})
        if method == "DELETE":
            return _say(200, {"healed": faults.end_all()})
        if method != "POST":
            return _say(405, {"error": f"{method} {ROOT}/faults: allowed are GET, POST, DELETE"})
        try:
            fault = faults.begin(json.loads(body), now.mono_ns)
        except (BadFaultError, ValueError, RecursionError) as bad:
            return _say(400, {"error": f"bad fault: {bad}"})
        return _say(200, fault.view())

    def _heal(self, text: str) -> Answer:
        if text.isdecimal() and len(text) < 20 and self._floor.faults.end(int(text)):
            return _say(200, {"healed": 1})
        return _say(404, {"error": f"no fault {text[:40]!r} runs; GET {ROOT}/faults lists them"})


def _say(status: int, value: dict[str, Any]) -> Answer:
    return status, JSON_TYPE, render.dump({"schema": SCHEMA, **value}).encode()
