"""Gathered: the table of all budgets, made of the benches' documents.

Pure: documents in, plain data or Markdown out.  Every budget of design.md section 10 has its line; what was not
measured says so.  Of two documents of one bench the newer counts, a whole one before one that was broken off.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from chaos.bench.budgets import BESIDE, OURS, OURSELVES, OWN, PEERS, Absolute, Against, Within
from chaos.bench.document import SCHEMA as BENCH
from chaos.bench.document import aligned, cell

SCHEMA: Final = "meltica.bench-table/1"
BEGIN: Final = "<!-- the table of `meltica bench table`: begin -->"
END: Final = "<!-- the table of `meltica bench table`: end -->"
OTHERS: Final = {
    ("etcd", "defaults"): "etcd",
    ("etcd", "tuned"): "etcd, tuned",
    ("pysyncobj", "defaults"): "PySyncObj, which syncs nothing",
    ("pysyncobj", "tuned"): "PySyncObj, tuned",
}
NAMES: Final = {"pysyncobj": "PySyncObj"}
UNITS: Final = {"p50_ms": " ms", "p99_ms": " ms", "max_ms": " ms", "rate_per_s": "/s"}
WORDS: Final = {True: "held", False: "**missed**", None: "not judged"}
GROWTH: Final = {
    "n": "n",
    "p50_ms": "p50 ms",
    "p99_ms": "p99 ms",
    "max_ms": "max ms",
    "rate_per_s": "a second",
    "rss_mb": "MB",
}
Document = Mapping[str, Any]


def is_of_a_bench(document: Document) -> bool:
    """Whether it is a bench's, of a build that says which and when."""
    return document.get("schema") == BENCH and "bench" in document


def newest(documents: Iterable[Document]) -> dict[str, Document]:
    """Of each bench the newest document, of those that are whole if any is; none that was profiled.

    Kinds of growth apart are benches apart.
    """
    found: dict[str, Document] = {}
    for one in [each for each in documents if is_of_a_bench(each) and not each.get("profiled")]:
        kinds = sorted({row["what"] for row in one["rows"]})
        name = ", ".join(kinds) if one["bench"] == "growth" else one["bench"]
        if name not in found or _worth(one) >= _worth(found[name]):
            found[name] = one
    return found


def _worth(one: Document) -> tuple[bool, str]:
    return not one.get("broken_off"), str(one["at"])


def gathered(found: Mapping[str, Document]) -> dict[str, Any]:
    """The table as a document."""
    rows = [row for one in found.values() for row in one["rows"]]
    judged = [each for one in found.values() for each in (*one["ratios"], *one["budgets"])]
    broken = {row["what"] for one in found.values() if one.get("broken_off") for row in one["rows"]}
    timed = {name: one for name, one in found.items() if name != "counts"}  # counts are the same on any machine
    return {
        "schema": SCHEMA,
        "lines": [_line(each, rows, judged, broken=each.what in broken) for each in (*PEERS, *OURSELVES, *OWN)],
        "told": [one for one in judged if one["what"] in {each.text for each in BESIDE}],
        "phases": [row for row in rows if row.get("phases_p50_ms")],
        "growth": [row for row in rows if row["what"].startswith("growth ")],
        "benches": {name: _about(one) for name, one in timed.items()},
    }


def _about(one: Document) -> dict[str, Any]:
    machine = one["machine"]
    return {
        "at": one["at"],
        "commit": one["commit"],
        "cores": machine["cores"],
        "fsync_us_p50": machine["fsync_us_p50"],
        "fdatasync_in_place_us_p50": machine["fdatasync_in_place_us_p50"],
        "quiet": machine["quiet"],
        "broken_off": one.get("broken_off"),
        "disturbed": one["disturbed"],
        "peers": one.get("peers", {}),
        "python": machine.get("python"),
    }


def _line(
    each: Against | Within | Absolute, rows: Sequence[Document], judged: Sequence[Document], *, broken: bool
) -> dict[str, Any]:
    mine = [one for one in judged if one["what"] == each.text and one["budget"] is not None]
    held = [one["held"] for one in mine]
    callers = each.callers if isinstance(each, Against) else None
    others = dict.fromkeys(OTHERS.values()) | {
        OTHERS[row["system"], row["variant"]]: row[each.column]
        for row in rows
        if (row["what"], row["callers"]) == (each.what, callers)
        and (row["system"], row["variant"]) in OTHERS
        and row.get("like", each.variant) == each.variant
    }
    own = [
        row
        for row in rows
        if (row["what"], row["system"], row["variant"]) == (each.what, OURS, each.variant)
        and callers in (None, row["callers"])
    ]
    ours, n = [row.get(each.column) for row in own], [row["n"] for row in own]
    return {
        "what": each.text,
        "bench": each.what,
        "column": each.column,
        "measured": bool(ours),
        "ours": ours[0] if ours else None,
        "without": mine[0]["theirs"] if isinstance(each, Within) and mine else None,
        "at_most": getattr(each, "at_most", True),
        "budget": each.budget,
        "n": n[0] if n else None,
        "over": next((one["over"] for one in mine if one.get("over") is not None), None),
        "of": "" if isinstance(each, Absolute) else "etcd" if isinstance(each, Against) else "without",
        "held": None if broken or not held or None in held else all(held),
        "broken_off": broken,
        "others": others,
    }


def markdown(table: Mapping[str, Any]) -> Iterator[str]:
    """For a README: the budgets, what they were measured on, and how it grows."""
    head = ["what", "budget", "Meltica", "n", "", *OTHERS.values()]
    yield from _marked([head, *([*_cells(line)] for line in table["lines"])])
    if table["told"]:
        yield ""
        yield from _told_alone(table["told"])
    if table["phases"]:
        yield ""
        yield from _phases(table["phases"])
    yield ""
    yield from _told(table["benches"])
    if table["growth"]:
        columns = [name for name in GROWTH if any(row.get(name) is not None for row in table["growth"])]
        shown = _ends(table["growth"])
        rows = [[row["what"], row["variant"], *(cell(row.get(one)) for one in columns)] for row in shown]
        yield ""
        yield from _marked([["what grows", "with", *(GROWTH[one] for one in columns)], *rows])


def picture(path: str) -> Iterator[str]:
    """For under the table: what was drawn, by its path from there."""
    yield ""
    yield f"![How it grows; n: of how many samples a point is]({path})"


def _told_alone(ratios: Sequence[Document]) -> Iterator[str]:
    """Ratios that no budget is of: they hold something else too, so they judge nobody."""
    head = ["told, not judged", "Meltica", "without", "times", "n"]
    shown = [
        (one["what"], _figure(one["ours"], " ms"), _figure(one["theirs"], " ms"), cell(one["ratio"]), f"{one['n']:,}")
        for one in ratios
    ]
    yield from _marked([head, *shown])


def _phases(rows: Sequence[Document]) -> Iterator[str]:
    """Where the time of a takeover goes: when what was reached, at the median."""
    names = [*dict.fromkeys(name for row in rows for name in row["phases_p50_ms"])]
    head = [name.replace("_", " ") for name in names]
    cells = [
        [f"{row['what']}, {row['variant']}", *(cell(row["phases_p50_ms"].get(one)) for one in names)] for row in rows
    ]
    yield from _marked([["ms from the strike, p50", *head], *cells])


def _ends(rows: Sequence[Document]) -> list[Document]:
    """Of looks at the memory the first and the last of each process: the picture has the others."""
    looks: dict[str, list[Document]] = {}
    for row in rows:
        if row.get("of"):
            looks.setdefault(row["of"], []).append(row)
    ends = [one for each in looks.values() for one in (each[0], each[-1])]
    return [row for row in rows if not row.get("of") or row in ends]


def _cells(line: Document) -> Iterator[str]:
    unit = UNITS.get(line["column"], "")
    of = {"": unit, "etcd": " times etcd's", "without": " times without"}[line["of"]]
    yield line["what"]
    yield f"{'≤' if line['at_most'] else '≥'} {cell(line['budget'])}{of}"
    if not line["measured"]:
        yield from ("not measured", "", "", *("" for _ in OTHERS))
        return
    without = "" if line["without"] is None else f", {cell(line['without'])}{unit} without"
    yield f"{_figure(line['ours'], unit)}{without}"
    over = "" if line["over"] is None else f", {line['over']} over"
    yield f"{line['n']:,}{over}"
    yield "broken off" if line["broken_off"] else WORDS[line["held"]]
    for value in line["others"].values():
        yield "" if value is None else f"{cell(value)}{unit}{_ratio(line, value)}"


def _figure(value: float | None, unit: str) -> str:
    return "too few samples" if value is None else f"{cell(value)}{unit}"


def _ratio(line: Document, value: float) -> str:
    return f" ({line['ours'] / value:.2f})" if line["of"] == "etcd" and line["ours"] is not None and value else ""


def _told(benches: Mapping[str, Document]) -> Iterator[str]:
    """Where it was measured; each commit and machine once."""
    if not benches:
        yield "Nothing was measured."
        return
    for about in {(one["commit"], one["cores"]): one for one in benches.values()}.values():
        same = {n: o for n, o in benches.items() if (o["commit"], o["cores"]) == (about["commit"], about["cores"])}
        days = sorted({one["at"][:10] for one in same.values()})
        syncs = sorted(one["fsync_us_p50"] for one in same.values())
        in_place = sorted(one["fdatasync_in_place_us_p50"] for one in same.values())
        yield (
            f"Commit {about['commit'] or 'unknown'}, {' to '.join({days[0]: 0, days[-1]: 0})}, {about['cores']} cores; "
            f"one fsync {_span(syncs)} us, where no file grows {_span(in_place)} us, at the median: {', '.join(same)}."
        )
    versions = dict.fromkeys(pair for one in benches.values() for pair in one["peers"].items())
    pythons = dict.fromkeys(one["python"] for one in benches.values() if one["python"])
    if pythons:
        yield f"{'; '.join(pythons)}."
    if versions:
        yield f"Peers: {', '.join(f'{NAMES.get(name, name)} {version}' for name, version in versions)}."
    yield "In brackets, beside a peer's figure: ours as a share of it."
    loud = [name for name, one in benches.items() if not one["quiet"]]
    if loud:
        yield f"**Not to be quoted**: the machine was not quiet before or in {', '.join(loud)}."
    for name, one in benches.items():
        if one["broken_off"]:
            yield f"**Broken off**, so that some of it is missing: {name}: {one['broken_off']}"
    disturbed = {name: one["disturbed"] for name, one in benches.items() if one["disturbed"]}
    if disturbed:
        turns = ", ".join(f"{name} {count}" for name, count in disturbed.items())
        yield f"Turns that an election ended, and that were made again: {turns}."


def _span(values: Sequence[float]) -> str:
    least, most = cell(values[0]), cell(values[-1])
    return least if least == most else f"{least} to {most}"


def _marked(table: Sequence[Sequence[str]]) -> Iterator[str]:
    head, *rest = table
    lines = aligned([head, ["-" * 3] * len(head), *rest], " | ")
    yield from (f"| {line} |" for line in lines)


def put_into(text: str, lines: Iterable[str]) -> str:
    """The same text with these lines between the two marks.  Raises ValueError where they are not there, once each."""
    if (text.count(BEGIN), text.count(END)) != (1, 1) or text.index(BEGIN) > text.index(END):
        raise ValueError(f"there is not one place for it, between {BEGIN!r} and {END!r}")
    before, _, rest = text.partition(BEGIN)
    return "\n".join([f"{before}{BEGIN}", *lines, END]) + rest.partition(END)[2]
