"""Document: `meltica.bench/1` (contracts.md section 9), and the table that people read of it.

Pure: values in, plain data or text out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from attrs import field, frozen

from chaos.bench.budgets import budgets, ratios
from chaos.bench.figures import Row

SCHEMA: Final = "meltica.bench/1"
OTHERS: Final = 0.1  # of all processors' time, just before the run or in it: with more, figures are not to be quoted
COLUMNS: Final = {  # what people see of a row, where there is any of it
    "what": "what",
    "system": "system",
    "variant": "variant",
    "like": "like our",
    "callers": "callers",
    "n": "n",
    "p50_ms": "p50 ms",
    "p99_ms": "p99 ms",
    "max_ms": "max ms",
    "rate_per_s": "a second",
    "cpu_us": "cpu us",
    "late": "late",
    "gaps": "gaps",
    "leader_changes": "new leaders",
    "rss_mb": "MB",
    "instructions": "instructions",
    "calls": "calls",
    "encodings": "encodings",
}


@frozen
class Build:
    """What was measured, and when."""

    bench: str
    at: str  # UTC
    commit: str | None  # of the checkout; None: it is none
    alone: str | None = None  # why no peer was measured, though one was asked for
    profiled: bool = False  # samples were taken meanwhile, which takes time of its own
    peers: Mapping[str, str] = field(factory=dict)  # which version of each that was measured


@frozen
class Measured:
    """The machine, as it was."""

    cores: int
    fsync_us_p50: float | None  # of a file that grew, on this folder's disk, between the turns
    in_place_us_p50: float | None  # the same of one that did not grow
    before: float  # the share of all processors' time that others had just before the run
    others: float = 0.0  # the same in the run
    python: str = ""  # which interpreter, of which build: one is a quarter quicker than another of the same version

    @property
    def quiet(self) -> bool:
        """Whether it had little else to do, before the run and in it."""
        return max(self.before, self.others) <= OTHERS


def document(
    build: Build, machine: Measured, rows: Sequence[Row], disturbed: int, broken_off: str = ""
) -> dict[str, Any]:
    """Everything of one run.

    `disturbed`: turns that an election ended, and that were made again; `broken_off`: what ended it in the middle.
    """
    void = bool(broken_off) or build.profiled
    return {
        "schema": SCHEMA,
        "bench": build.bench,
        "at": build.at,
        "commit": build.commit,
        "alone": build.alone,
        "peers": dict(build.peers),
        "machine": {
            "cores": machine.cores,
            "fsync_us_p50": machine.fsync_us_p50,
            "fdatasync_in_place_us_p50": machine.in_place_us_p50,
            "busy_before": machine.before,
            "busy_by_others": machine.others,
            "quiet": machine.quiet,
            "python": machine.python,
        },
        "disturbed": disturbed,
        **({"broken_off": broken_off} if broken_off else {}),
        **({"profiled": True} if build.profiled else {}),
        "rows": [row.document() for row in rows],
        "ratios": _judged_of(ratios(rows), void=void),
        "budgets": _judged_of(budgets(rows), void=void),
    }


def _judged_of(found: Sequence[Mapping[str, Any]], *, void: bool) -> list[dict[str, Any]]:
    """What was broken off has held nothing, whatever its figures are so far: a checker may have ended it."""
    return [{**one, "held": None if void else one["held"]} for one in found]


def lines(found: Mapping[str, Any]) -> Iterator[str]:
    """The same for people: aligned columns, notes, and each budget with what came of it."""
    machine = found["machine"]
    fsync, in_place = cell(machine["fsync_us_p50"]), cell(machine["fdatasync_in_place_us_p50"])
    if machine.get("python"):
        yield machine["python"]
    yield f"{machine['cores']} cores; one fsync {fsync} us, where no file grows {in_place} us, at the median"
    if not machine["quiet"] and any(row["what"] != "counts" for row in found["rows"]):
        before, meanwhile = machine["busy_before"], machine["busy_by_others"]
        shares = f"{before:.0%} of the processors' time before the run, {meanwhile:.0%} in it"
        yield f"NOT QUIET: others had {shares}: quote none of these figures"
    columns = [name for name in COLUMNS if any(row.get(name) is not None for row in found["rows"])]
    head = [COLUMNS[name] for name in columns]
    yield from aligned([head, *([cell(row.get(name)) for name in columns] for row in found["rows"])])
    if found.get("broken_off"):
        yield f"BROKEN OFF, these are the figures so far: {found['broken_off']}"
    if found.get("profiled"):
        yield "PROFILED, which takes time of its own: quote none of these figures"
    if found.get("peers"):
        yield "peers: " + ", ".join(f"{name} {version}" for name, version in found["peers"].items())
    if found["alone"]:
        yield f"no peer is measured: {found['alone']}"
    yield from sorted({f"{row['system']} {row['variant']}: {row['note']}" for row in found["rows"] if row["note"]})
    yield from _encoders(found["rows"])
    judged = [*found["ratios"], *found["budgets"]]
    if judged:
        yield ""
        yield from aligned(
            [("what", "ours", "theirs", "ratio", "budget", ""), *(_judged(one, found) for one in judged)]
        )


def _encoders(rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Who encodes what, where that was counted."""
    for row in rows:
        named = sorted(row.get("encoders", {}).items(), key=lambda pair: (-pair[1], pair[0]))
        if named:
            yield ""
            yield from aligned([("a command", f"{row['variant']}: who encodes"), *((cell(n), who) for who, n in named)])


def _judged(one: Mapping[str, Any], found: Mapping[str, Any]) -> tuple[str, ...]:
    beside = f" / {one['system']} {one['variant']}" if "system" in one else ""
    budget = "" if one["budget"] is None else f"{'<=' if one['at_most'] else '>='} {cell(one['budget'])}"
    few = f"too few samples, {one['n']} of {one['fewest']}" if one["n"] < one["fewest"] else "too few samples"
    few = "not judged: it was broken off" if found.get("broken_off") else few
    few = "not judged: it was profiled" if found.get("profiled") else few
    word = {True: "held", False: "MISSED", None: "not judged" if not budget else few}[one["held"]]
    word += f", {one['over']} of {one['n']} over" if one.get("over") is not None else ""
    return (one["what"] + beside, cell(one["ours"]), cell(one.get("theirs")), cell(one.get("ratio")), budget, word)


def cell(value: object) -> str:
    """A figure as people read it."""
    if value is None:
        return ""
    if not isinstance(value, float):
        return str(value)
    return f"{value:,.0f}" if abs(value) >= 10_000 else f"{value:,g}"


def aligned(table: Sequence[Sequence[str]], between: str = "  ") -> Iterator[str]:
    """Columns, each as wide as its widest cell."""
    widths = [max(len(row[place]) for row in table) for place in range(len(table[0]))]
    for row in table:
        yield between.join(one.ljust(width) for one, width in zip(row, widths, strict=True)).rstrip()
