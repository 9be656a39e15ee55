"""Tokens: who holds which role.

Only reading and comparing tokens may live here.  Tokens are compared in constant time, as digests, so that
neither content nor length is told by how long it takes.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from pathlib import Path
from typing import Final

from attrs import field, frozen

from meltica.api.ports import Role

TOKEN: Final = r"[A-Za-z0-9_.~+/=-]{32,256}"  # noqa: S105 - the form of one, not one


class BadToken(ValueError):
    """A token file whose content can't be a token; the message names the file, never the content."""


@frozen
class Tokens:
    """One token a role, kept as digests."""

    viewer: bytes = field(repr=False)
    operator: bytes = field(repr=False)
    approver: bytes = field(repr=False, default=b"")  # empty: nobody has that role

    def role_of(self, header: str | None) -> Role | None:
        """The role of who sends this `Authorization` header; None for nobody known."""
        scheme, _, token = (header or "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            return None
        digest = _digest(token.strip())
        operator = hmac.compare_digest(digest, self.operator)
        viewer = hmac.compare_digest(digest, self.viewer)
        approver = hmac.compare_digest(digest, self.approver)
        if operator:
            return Role.OPERATOR
        if approver:
            return Role.APPROVER
        return Role.VIEWER if viewer else None


def read_token(path: Path) -> str:
    """The token in a file.  Raises BadToken, or OSError."""
    text = path.read_text(encoding="utf-8", errors="replace").strip()
    if not re.fullmatch(TOKEN, text):
        raise BadToken(f"{path}: not a token; allowed are 32 to 256 letters, digits, or _ . ~ + / = -, on one line")
    return text


def read_tokens(viewer_file: Path, operator_file: Path, approver_file: Path | None = None) -> Tokens:
    """Each role's token.  Raises BadToken, also where two are the same, or OSError."""
    files = [viewer_file, operator_file, *([] if approver_file is None else [approver_file])]
    tokens = [read_token(file) for file in files]
    if len(set(tokens)) < len(tokens):
        raise BadToken(f"two of {', '.join(map(str, files))} hold the same token: give each role its own")
    viewer, operator, *approver = [_digest(token) for token in tokens]
    return Tokens(viewer=viewer, operator=operator, approver=approver[0] if approver else b"")


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
