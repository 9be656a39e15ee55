"""Kept: the folder in which a suite's runs are kept, and what one that goes on finds there.

Only that folder's files may live here.  Each run has a folder of its own, with its document in it once it came to its
end; the suite's own document lies beside them, written anew behind each run.  A document is there whole or not at all.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from attrs import define, field

from chaos.campaign.product import OURS, TOP, fingerprint, modules
from chaos.live.plan import Plan
from chaos.report.folder import VERDICT
from chaos.report.page import NAME as PAGE

STAYS: Final = (VERDICT, PAGE)  # of a run that passed, where only what failed is kept whole
SAME: Final = {  # what a suite that goes on must have in common with what is there, and how it is asked for
    "scenario": "SCENARIO or --suite",
    "seed": "--seed",
    "slower": "--slower",
    "mutant": "--mutant",
    "cluster": "--cluster",
    "product": "the same checkout",
}
SCENARIOS: Final = Path("chaos", "scenarios")  # under the top of what is ours
Document = dict[str, Any]


class Changed(Exception):
    """The code is not what it was: what is played from now on is another product than what was played before."""


class CanNotGoOn(Exception):
    """The folder is not what this suite can go on with; the text says what differs."""


def product(top: Path = TOP) -> str:
    """Which code is played, and judges, here, and by which scenarios: the same name with another text is another plan.

    All of the product, whose processes are started by their names.
    """
    seen = hashlib.blake2b(fingerprint((*modules("meltica"), *modules("chaos.live"))).encode(), digest_size=8)
    for path in _scenarios(top):
        text = path.read_bytes()
        seen.update(f"\n{path.name} {len(text)}\n".encode())
        seen.update(text)
    return seen.hexdigest()


def _scenarios(top: Path) -> list[Path]:
    return sorted(top.joinpath(SCENARIOS).glob("*.toml"))


@define
class Code:
    """Whether it is what it was when a suite began: nodes are started by their modules' names, from what lies there."""

    product: str
    top: Path = TOP
    _seen: dict[Path, tuple[int, int]] = field(init=False)

    def __attrs_post_init__(self) -> None:
        """As it is now."""
        self._seen = self._stamps()

    def look(self) -> None:
        """Raise Changed if it is not."""
        try:
            now = self._stamps()
            same = now == self._seen or product() == self.product
        except (OSError, SyntaxError) as error:
            raise Changed(f"the code is being changed: {error}") from error
        if not same:
            changed = sorted({path for path, _ in now.items() ^ self._seen.items()})
            told = ", ".join(str(path.relative_to(self.top)) for path in changed[:3])
            raise Changed(f"the code has changed since it began ({told}): play it in a checkout of its own")
        self._seen = now

    def _stamps(self) -> dict[Path, tuple[int, int]]:
        """Of each file when it was written, and how long it is: quicker to see than what it says."""
        code = [path for name in OURS for path in self.top.joinpath(name).rglob("*.py")]
        files = (*code, *_scenarios(self.top))
        return {path: (about.st_mtime_ns, about.st_size) for path in files for about in [path.stat()]}


def put(document: Mapping[str, Any], folder: Path) -> None:
    """The document of a run, or of a suite.  Raises OSError; what was there before stays then."""
    draft = folder / f".{VERDICT}"
    draft.write_text(json.dumps(document, indent=1) + "\n")
    draft.replace(folder / VERDICT)


def read(folder: Path) -> Document | None:
    """What lies there, if it can be read."""
    with suppress(OSError, ValueError):
        found = json.loads((folder / VERDICT).read_text())
        return found if isinstance(found, dict) else None
    return None


def begun(folder: Path) -> Document:
    """The document of the suite that was kept there.  Raises CanNotGoOn."""
    found = read(folder)
    if found is None or "runs" not in found:
        raise CanNotGoOn(f"{folder} holds no suite's {VERDICT}: begin one with --report and a new folder")
    return found


def differing(found: Mapping[str, Any], ours: Mapping[str, Any]) -> Iterator[str]:
    """What keeps a suite from going on with what was found."""
    for word, asked in SAME.items():
        if found.get(word) != ours[word]:
            yield f"{word}: {found.get(word)!r} was played there, and here it is {ours[word]!r} ({asked})"


def ended(folder: Path, plan: Plan) -> Document | None:
    """The document of this plan's run, if it came to its end there."""
    found = read(folder)
    same = found is not None and (found.get("scenario"), found.get("seed")) == (plan.scenario.name, plan.seed)
    return found if same and found is not None and "pauses" in found else None


def aside(folder: Path) -> None:
    """What a run that was broken off has left goes out of the way: it may be looked at."""
    if folder.exists():
        number = 1
        while (other := folder.with_name(f"{folder.name}.broken-off-{number}")).exists():
            number += 1
        folder.rename(other)


def thinned(folder: Path) -> None:
    """Of a run that passed only its document and its page stay."""
    for path in folder.iterdir():
        if path.name in STAYS:
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
