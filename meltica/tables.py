"""Tables: reading one TOML table with every error noted, none raised.

Only `Reader` and what it makes may live here; what a setting means is in `meltica.config`.  Each method takes
one key, checks it, and returns its value; of a bad one it notes where it stands, what was found and what is
allowed, and returns something harmless of the right type, so that the reading goes on and all errors are
told at once.  `finish` notes every key that nobody asked for.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from pathlib import Path

from attrs import define, field

from cluster import hosts
from cluster.hosts import Address
from meltica.core.values import decimal_of
from meltica.structure import SHOWN, Misfit, meant, shown


@define
class Reader:
    """One table.  `name` is its TOML name, "" for the top; `folder` is what its relative paths are relative to."""

    name: str
    table: Mapping[str, object]
    folder: Path
    errors: list[Misfit]
    _asked: list[str] = field(factory=list, init=False)

    # --- noting -------------------------------------------------------------------------------------------

    def path(self, key: str) -> str:
        """How a message names `key`."""
        return f"[{self.name}] {key}" if self.name else f"[{key}]"

    def note(self, key: str, found: str, allowed: str) -> None:
        """Note an error of `key`."""
        self.errors.append(Misfit(self.path(key), found, allowed))

    def _get(self, key: str, default: object, allowed: str) -> object:
        self._asked.append(key)
        if key in self.table:
            return self.table[key]
        if default is None:
            self.note(key, "nothing", f"{allowed} (required)")
        return default

    def finish(self) -> None:
        """Note each key that was not asked for."""
        for key in self.table:
            if key not in self._asked:
                self.note(key, "an unknown key", meant(key, self._asked))

    # --- scalars ------------------------------------------------------------------------------------------

    def text(self, key: str, allowed: str, pattern: str = r"\S(.*\S)?", default: str | None = None) -> str:
        """Text that matches `pattern` wholly; `allowed` says that in words."""
        found = self._get(key, default, allowed)
        if isinstance(found, str) and (key not in self.table or re.fullmatch(pattern, found)):
            return found
        if found is not None:
            self.note(key, shown(found), allowed)
        return default or ""

    def choice(self, key: str, allowed: Sequence[str], default: str | None = None) -> str:
        """One of a few words."""
        words = ", ".join(f'"{word}"' for word in allowed)
        found = self._get(key, default, words)
        if isinstance(found, str) and found in allowed:
            return found
        if found is not None:
            self.note(key, shown(found), words)
        return default or allowed[0]

    def integer(self, key: str, low: int, high: int, unit: str, default: int | None = None) -> int:
        """A whole number from `low` to `high`."""
        allowed = f"a whole number of {unit} from {low} to {high}"
        found = self._get(key, default, allowed)
        if isinstance(found, int) and not isinstance(found, bool) and low <= found <= high:
            return found
        if found is not None:
            self.note(key, shown(found), allowed)
        return low if default is None else default

    def flag(self, key: str, *, default: bool) -> bool:
        """True or false."""
        found = self._get(key, default, "true or false")
        if isinstance(found, bool):
            return found
        self.note(key, shown(found), "true or false")
        return default

    def amount(self, key: str, unit: str, default: str | None = None) -> Decimal:
        """An exact decimal above zero, written as text so that nothing rounds it."""
        allowed = f'{unit} above 0 as text, like "2500.5"'
        found = self._get(key, default, allowed)
        try:
            value = decimal_of(str(found) if isinstance(found, int) and not isinstance(found, bool) else found)
        except ValueError:  # a BadValue, or a whole number with thousands of digits
            value = Decimal(0)
        if value > 0:
            return value
        if found is not None:
            self.note(key, shown(found), allowed)
        return Decimal(1)

    def texts(self, key: str, allowed: str, pattern: str) -> tuple[str, ...]:
        """A list, not empty, of different texts that each match `pattern`."""
        found = self._get(key, None, allowed)
        if found is None:
            return ()
        items = found if isinstance(found, list) else []
        good = [item for item in items if isinstance(item, str) and re.fullmatch(pattern, item)]
        if not good or len(good) != len(items) or len(dict.fromkeys(good)) != len(good):
            self.note(key, shown(found), allowed)
        return tuple(good)

    # --- places -------------------------------------------------------------------------------------------

    def address(self, key: str) -> Address:
        """A host and a port, "127.0.0.1:7401"."""
        allowed = f'a host and a port, like "127.0.0.1:7401"; {hosts.WORDS}'
        found = self._get(key, None, allowed)
        if found is None:
            return Address("", 0)
        why = hosts.fault(found) if isinstance(found, str) else "it is no text"
        if not why and isinstance(found, str):
            return Address.of(found)
        self.note(key, f"{shown(found)}, and {why}", allowed)
        return Address("", 0)

    def url(self, key: str, schemes: Sequence[str]) -> str:
        """An address with a scheme, no query, no trailing slash."""
        allowed = " or ".join(f"{scheme}://host[:port][/path]" for scheme in schemes) + ", without a trailing slash; "
        allowed += hosts.WORDS
        pattern = rf"({'|'.join(schemes)})://[A-Za-z0-9_.\[\]:-]+(/[A-Za-z0-9_./-]*[A-Za-z0-9_-])?"
        found = self.text(key, allowed, pattern)
        why = _url_fault(found) if found else ""
        if why:
            self.note(key, f"{shown(found)}, and {why}", allowed)
        return found

    def has(self, key: str) -> bool:
        """Whether the key is there at all."""
        return key in self.table

    def file(self, key: str) -> Path:
        """A path, relative to the settings' own folder.  Whether the file is there is looked at elsewhere."""
        found = self.text(key, "the path of a file", r"[^\x00]+")
        return (self.folder / found).resolve() if found else self.folder

    # --- tables in it -------------------------------------------------------------------------------------

    def table_of(self, key: str, *, required: bool = False) -> Reader:
        """The table `key`; an empty one where it is absent."""
        found = self._get(key, None if required else {}, "a table")
        if not isinstance(found, Mapping):
            if found is not None:
                self.note(key, shown(found), "a table")
            found = {}
        return self._inner(key, found)

    def tables_of(self, key: str) -> list[Reader]:
        """The array of tables `key`, each named by its place, from 1 on."""
        found = self._get(key, [], "tables in double brackets")
        items = found if isinstance(found, list) else [found]
        if not all(isinstance(item, Mapping) for item in items):
            self.note(key, shown(found), "tables in double brackets")
        return [self._inner(f"{key}.{place}", item) for place, item in enumerate(items, 1) if isinstance(item, Mapping)]

    def named_tables(self, pattern: str, allowed: str) -> list[tuple[str, Reader]]:
        """Every table in this one, by its name, which must match `pattern`."""
        inner = []
        for key, found in self.table.items():
            self._asked.append(key)
            if not re.fullmatch(pattern, key):
                self.note(key, f"the name {key!r:.{SHOWN}}", allowed)
            elif not isinstance(found, Mapping):
                self.note(key, shown(found), "a table")
            else:
                inner.append((key, self._inner(key, found)))
        return inner

    def _inner(self, key: str, table: Mapping[str, object]) -> Reader:
        return Reader(f"{self.name}.{key}" if self.name else key, table, self.folder, self.errors)


def _url_fault(url: str) -> str:
    """Why nobody can be at its host and port, or ""."""
    place = url.partition("://")[2].partition("/")[0]
    if place.startswith("[") and place.endswith("]"):
        return hosts.why_not(place[1:-1])
    if not place.startswith("[") and place.count(":") > 1:
        return "an IPv6 host stands in brackets"
    return hosts.fault(place) if ":" in place else hosts.why_not(place)
