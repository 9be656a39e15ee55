"""Again: the command that repeats a run, or a suite of them, as a shell takes it.

Pure; only that may live here.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any


def again(document: Mapping[str, Any]) -> str:
    """Of the run of a document; "" of one that does not say which run it was."""
    if "scenario" in document:
        return shlex.join(["meltica-chaos", "run", str(document["scenario"]), *_with(document)])
    if "seed" not in document:
        return ""
    market = str(document.get("market") or "")
    tape = ("--tape", market.removeprefix("tape:")) if market.startswith("tape:") else ()
    words = ["meltica", "demo", "--seed", str(document["seed"]), "--duration", f"{document['duration_s']:g}"]
    return shlex.join([*words, *tape, "--keep", "DIR"])


def again_all(document: Mapping[str, Any], *, suite: bool, rounds: int | None) -> str:
    """Of many runs, of their document; `suite`: its scenario is a suite's name; `rounds`: as it was asked for."""
    name = ("--suite", str(document["scenario"])) if suite else (str(document["scenario"]),)
    often = () if rounds is None else ("--rounds", str(rounds))
    return shlex.join(["meltica-chaos", "run", *name, *_with(document), *often, "--report", "DIR"])


def _with(document: Mapping[str, Any]) -> list[str]:
    slower = int(document.get("slower") or 1)
    words = ["--seed", str(document["seed"]), *(("--slower", str(slower)) if slower != 1 else ())]
    if "left_out" in document:
        return [*words, "--cluster", str(document.get("place") or "FILE")]
    return [*words, *(("--mutant", str(document["mutant"])) if document.get("mutant") else ())]
