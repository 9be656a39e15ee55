"""Watching a running cluster: the nodes' status, the venue's ledger, and what operators ask of a node.

Only reading and asking over HTTP may live here; what it means is for the callers.
"""

from __future__ import annotations

import json
import ssl
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
from attrs import define, field

from meltica.api.calls import ask, calling

ASK_WITHIN = 2.0  # seconds for a reading call
ACT_WITHIN = 10.0


class ActRefused(Exception):
    """A node did not do what was asked, or it is not known whether it did; the message is its own."""

    def __init__(self, message: str, status: int | None = None) -> None:
        """`status`: of HTTP; None: no answer came."""
        super().__init__(message)
        self.status = status


@define
class Watcher:
    """Holds the connections; one for a whole run."""

    client: httpx.AsyncClient
    apis: Mapping[str, str]  # node name -> https://...
    viewer: str
    operator: str
    ledger_path: Path
    ledger_offset: int = 0
    rest: bytes = b""
    outcomes: Counter[str] = field(factory=Counter)

    async def status(self, node: str) -> dict[str, Any] | None:
        """One node's status; None while it can't be reached."""
        try:
            answer = await ask(
                self.client,
                "GET",
                node,
                f"{self.apis[node]}/api/v1/status",
                headers=bearer(self.viewer),
                timeout=ASK_WITHIN,
            )
            answer.raise_for_status()
            document: dict[str, Any] = answer.json()
        except (httpx.HTTPError, ValueError):
            return None
        return document

    async def statuses(self) -> dict[str, dict[str, Any]]:
        """Every reachable node's status."""
        found = {}
        for node in self.apis:
            document = await self.status(node)
            if document is not None:
                found[node] = document
        return found

    async def act(self, node: str, action: str, body: Mapping[str, Any], reason: str) -> dict[str, Any]:
        """Ask `node` (which passes it on to the leader).  Raises ActRefused."""
        document = {"request_id": uuid.uuid4().hex, "reason": reason, **body}
        try:
            answer = await ask(
                self.client,
                "POST",
                node,
                f"{self.apis[node]}/api/v1/actions/{action}",
                json=document,
                headers=bearer(self.operator),
                timeout=ACT_WITHIN,
            )
        except httpx.HTTPError as error:
            raise ActRefused(f"{action} at {node}: {error!r}") from error
        if answer.status_code >= 300:
            raise ActRefused(f"{action} at {node}: {answer.status_code} {answer.text[:300]}", answer.status_code)
        result: dict[str, Any] = answer.json()
        return result

    def new_records(self) -> list[dict[str, Any]]:
        """The ledger's records since the last call; counts them as it goes."""
        if not self.ledger_path.exists():
            return []
        with self.ledger_path.open("rb") as file:
            file.seek(self.ledger_offset)
            text = self.rest + file.read()
            self.ledger_offset = file.tell()
        lines = text.split(b"\n")
        self.rest = lines.pop()
        records = [json.loads(line) for line in lines if line]
        for record in records:
            self._count(record)
        return records

    def _count(self, record: Mapping[str, Any]) -> None:
        if record["type"] == "request" and record.get("admitted_mono_ns") is not None:
            self.outcomes["requests"] += 1
            self.outcomes[record.get("outcome") or "unknown"] += 1
        elif record["type"] == "fill" and record.get("account"):
            self.outcomes["fills"] += 1


def bearer(token: str) -> dict[str, str]:
    """The header that a role's token goes into."""
    return {"Authorization": f"Bearer {token}"}


@asynccontextmanager
async def open_watcher(folder: Path, apis: Mapping[str, str], ledger_path: Path) -> AsyncIterator[Watcher]:
    """A watcher that trusts the cluster's own authority and holds both roles' tokens."""
    trust = ssl.create_default_context(cafile=str(folder / "pki" / "ca.pem"))
    viewer = (folder / "tokens" / "viewer").read_text().strip()
    operator = (folder / "tokens" / "operator").read_text().strip()
    async with calling(trust) as client:
        yield Watcher(client, apis, viewer, operator, ledger_path)
