"""Settings: paper.toml, read and validated whole.

Pure but for the reading of the file and of the files of secrets that it names.  Every error is found at once, each
with its path, what was found and what is allowed.
"""

from __future__ import annotations

import re
import tomllib
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Final, NewType

from attrs import frozen
from cattrs import Converter

from meltica.core.values import decimal_of
from meltica.paper.ports import AccountSettings, Delays, OrderLimits, Span
from meltica.structure import Misfit, Rule, Unfit, Wrong, read, shown, strict_converter

MICROSECOND: Final = 1_000  # nanoseconds
LONGEST_DELAY_US: Final = 10_000_000
PLACES: Final = 8  # of a balance
LISTEN: Final = 'an address and port like "127.0.0.1:7480"'

Text = Annotated[str, Rule("a text, not empty", bool)]
Secret = NewType("Secret", str)  # in the file: the path of a file with the secret in it
Amount = NewType("Amount", Decimal)


class BadSettingsError(ValueError):
    """paper.toml cannot be used; the text has one line an error."""


@frozen
class Listen:
    """An address and a port; port 0 lets the machine choose one."""

    host: str
    port: int


@frozen
class PaperSettings:
    """What a venue needs to run."""

    host: str
    port: int
    accounts: tuple[AccountSettings, ...]
    limits: OrderLimits = OrderLimits()
    delays: Delays = Delays()


@frozen
class _Account:
    """One table [[accounts]]."""

    name: Text
    api_key: Text
    secret_file: Secret
    balances: Annotated[dict[str, Amount], Rule('a table of assets like { USDT = "100000" }', bool)]

    @property
    def settings(self) -> AccountSettings:
        return AccountSettings(self.name, self.api_key, self.secret_file, dict(self.balances))


@frozen
class _File:
    """The whole file."""

    listen: Annotated[Listen, Rule(LISTEN, lambda listen: listen.port < 65_536)]
    accounts: Annotated[tuple[_Account, ...], Rule("one or more tables [[accounts]]", bool)]
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
    except (ValueError, RecursionError) as broken:  # of UTF-8, of TOML, of a number too long, of what nests too deep
        raise BadSettingsError(f"{path}: is no TOML: {broken}") from broken
    return parse(data, path.parent)


def parse(data: dict[str, Any], folder: Path) -> PaperSettings:
    """Validate.

    Raises:
        BadSettingsError: With every error.
    """
    errors = _twice(data.get("accounts"))
    try:
        file = read(_converter(folder), data, _File)
    except Unfit as unfit:
        raise BadSettingsError(_lines(unfit.misfits + errors)) from None
    if errors:
        raise BadSettingsError(_lines(errors))
    accounts = tuple(account.settings for account in file.accounts)
    return PaperSettings(file.listen.host, file.listen.port, accounts, file.limits, file.delays)


def _lines(errors: list[Misfit]) -> str:
    return "\n".join(str(error) for error in errors)


def _twice(accounts: object) -> list[Misfit]:
    """What accounts must not share; looked for in the plain data, so that it is told with all else that is wrong."""
    rows = [row for row in accounts if isinstance(row, dict)] if isinstance(accounts, list) else []
    errors = []
    for key in ("name", "api_key"):
        seen = [row[key] for row in rows if isinstance(row.get(key), str)]
        if len(set(seen)) != len(seen):
            errors.append(Misfit("accounts", f"the same {key} twice", f"every {key} another"))
    return errors


# --- what the file writes in its own way ------------------------------------------------------------------------


def _converter(folder: Path) -> Converter:
    converter = strict_converter()
    converter.register_structure_hook(Listen, _listen)
    converter.register_structure_hook(Secret, partial(_secret, folder))
    converter.register_structure_hook(Amount, _amount)
    converter.register_structure_hook(Span, _span)
    converter.register_structure_hook(int, _positive)  # the limits have the file's only whole numbers
    return converter


def _listen(found: object, _kind: object) -> Listen:
    parts = re.fullmatch(r"(.+):([0-9]{1,5})", found) if isinstance(found, str) else None
    if not parts:
        raise Wrong(shown(found), LISTEN)
    return Listen(parts[1], int(parts[2]))


def _secret(folder: Path, found: object, _: object) -> str:
    if not isinstance(found, str) or not found:
        raise Wrong(shown(found), "the path of a file")
    try:
        secret = (folder / found).read_text(encoding="utf-8").strip()
    except (OSError, ValueError) as gone:
        raise Wrong(shown(found), f"a file that can be read ({gone})") from None
    if not secret:
        raise Wrong(shown(found), "a file with a secret in it; this one is empty")
    return secret


def _amount(found: object, _: object) -> Decimal:
    """An exact decimal as text; a whole number is exact without."""
    try:
        amount = decimal_of(str(found) if type(found) is int else found)
    except ValueError:  # a BadValue, or a whole number with thousands of digits
        amount = Decimal(-1)
    if amount < 0 or amount != round(amount, PLACES):
        raise Wrong(shown(found), f'an exact decimal as a text, like "1.5", of {PLACES} places at most')
    return amount


def _span(found: object, _: object) -> Span:
    """A span in the file is `[low, high]` in microseconds."""
    whole = isinstance(found, list) and len(found) == 2 and all(type(each) is int for each in found)
    if isinstance(found, list) and whole and 0 <= found[0] <= found[1] <= LONGEST_DELAY_US:
        return Span(found[0] * MICROSECOND, found[1] * MICROSECOND)
    raise Wrong(shown(found), f"[low, high] in microseconds, 0 <= low <= high <= {LONGEST_DELAY_US}")


def _positive(found: object, _: object) -> int:
    if type(found) is not int or found <= 0:
        raise Wrong(shown(found), "a whole number above 0")
    return found
