"""Settings: paper.toml, read and validated whole.

Pure but for the reading of the file and of the files of secrets that it names.  Every error is found at once, each
with its path, what was found and what is allowed.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

from attrs import fields as attrs_fields
from attrs import frozen

from meltica.paper.ports import AccountSettings, Delays, OrderLimits, Span

MICROSECOND = 1_000  # nanoseconds
LONGEST_DELAY_US = 10_000_000


class BadSettingsError(ValueError):
    """paper.toml cannot be used; the text has one line an error."""


@frozen
class PaperSettings:
    """What a venue needs to run."""

    host: str
    port: int
    accounts: tuple[AccountSettings, ...]
    limits: OrderLimits = OrderLimits()
    delays: Delays = Delays()


def load(path: Path) -> PaperSettings:
    """Read `path`; secrets are in files named relative to its folder.

    Raises:
        BadSettingsError: With every error.
    """
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as gone:
        raise BadSettingsError(
            f"{path}: cannot be read: {gone.strerror}; `meltica cluster create` writes one"
        ) from gone
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as broken:
        raise BadSettingsError(f"{path}: is no TOML: {broken}") from broken
    return parse(data, path.parent)


def parse(data: dict[str, Any], folder: Path) -> PaperSettings:
    """Validate.

    Raises:
        BadSettingsError: With every error.
    """
    errors: list[str] = []
    _only(data, {"listen", "accounts", "limits", "delays"}, "", errors)
    host, port = _listen(data.get("listen"), errors)
    accounts = _accounts(data.get("accounts"), folder, errors)
    limits = _limits(data.get("limits", {}), errors)
    delays = _delays(data.get("delays", {}), errors)
    if errors:
        raise BadSettingsError("\n".join(errors))
    return PaperSettings(host, port, tuple(accounts), limits, delays)


def _say(errors: list[str], path: str, found: object, allowed: str) -> None:
    errors.append(f"{path}: found {found!r}, allowed: {allowed}")


def _only(table: dict[str, Any], known: set[str], path: str, errors: list[str]) -> None:
    for name in table:
        if name not in known:
            errors.append(f"{path}{name}: unknown key, allowed: {', '.join(sorted(known))}")


def _listen(value: object, errors: list[str]) -> tuple[str, int]:
    host, colon, port = str(value).rpartition(":")
    if isinstance(value, str) and colon and host and port.isdecimal() and int(port) < 65_536:
        return host, int(port)
    _say(errors, "listen", value, 'an address and port like "127.0.0.1:7480"')
    return "", 0


def _accounts(value: object, folder: Path, errors: list[str]) -> list[AccountSettings]:
    if not isinstance(value, list) or not value:
        _say(errors, "accounts", value, "one or more tables [[accounts]]")
        return []
    found = [_account(row, f"accounts[{index}].", folder, errors) for index, row in enumerate(value)]
    for what, seen in (("name", [each.name for each in found]), ("api_key", [each.api_key for each in found])):
        if len(set(seen)) != len(seen):
            errors.append(f"accounts: every {what} must be another")
    return found


def _account(row: object, path: str, folder: Path, errors: list[str]) -> AccountSettings:
    table = row if isinstance(row, dict) else {}
    _only(table, {"name", "api_key", "secret_file", "balances"}, path, errors)
    texts: dict[str, str] = {}
    for name in ("name", "api_key", "secret_file"):
        texts[name] = table.get(name, "")
        if not isinstance(texts[name], str) or not texts[name]:
            _say(errors, path + name, table.get(name), "a text")
            texts[name] = ""
    secret = _secret(texts["secret_file"], path, folder, errors) if texts["secret_file"] else ""
    return AccountSettings(texts["name"], texts["api_key"], secret, _balances(table.get("balances"), path, errors))


def _secret(name: str, path: str, folder: Path, errors: list[str]) -> str:
    try:
        secret = (folder / name).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as gone:
        _say(errors, path + "secret_file", name, f"a file that can be read ({gone})")
        return ""
    if not secret:
        _say(errors, path + "secret_file", name, "a file with a secret in it; this one is empty")
    return secret


def _balances(value: object, path: str, errors: list[str]) -> dict[str, Decimal]:
    if not isinstance(value, dict) or not value:
        _say(errors, path + "balances", value, 'a table of assets like { USDT = "100000" }')
        return {}
    amounts: dict[str, Decimal] = {}
    for asset, text in value.items():
        try:
            amounts[asset] = Decimal(text) if isinstance(text, str | int) else Decimal("NaN")
        except InvalidOperation:
            amounts[asset] = Decimal("NaN")
        if not amounts[asset].is_finite() or amounts[asset] < 0 or amounts[asset] != round(amounts[asset], 8):
            _say(errors, f"{path}balances.{asset}", text, 'an exact decimal as a text, like "1.5", of 8 places at most')
    return amounts


def _limits(value: object, errors: list[str]) -> OrderLimits:
    return OrderLimits(**_section(value, "limits", OrderLimits, _positive, errors))


def _delays(value: object, errors: list[str]) -> Delays:
    return Delays(**_section(value, "delays", Delays, _span, errors))


def _section(
    value: object, name: str, kind: type, read: Callable[[object, str, list[str]], Any], errors: list[str]
) -> dict[str, Any]:
    if not isinstance(value, dict):
        _say(errors, name, value, "a table")
        return {}
    known = {each.name for each in attrs_fields(kind)}
    _only(value, known, f"{name}.", errors)
    return {key: read(each, f"{name}.{key}", errors) for key, each in value.items() if key in known}


def _positive(value: object, path: str, errors: list[str]) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and value > 0:
        return value
    _say(errors, path, value, "a whole number above 0")
    return 1


def _span(value: object, path: str, errors: list[str]) -> Span:
    """A span in the file is `[low, high]` in microseconds."""
    whole = isinstance(value, list) and len(value) == 2 and all(isinstance(each, int) for each in value)
    if isinstance(value, list) and whole and 0 <= value[0] <= value[1] <= LONGEST_DELAY_US:
        return Span(value[0] * MICROSECOND, value[1] * MICROSECOND)
    _say(errors, path, value, f"[low, high] in microseconds, 0 <= low <= high <= {LONGEST_DELAY_US}")
    return Span(0, 0)
