"""The table of all budgets and the picture of growth, from documents that are made up."""

from __future__ import annotations

import json
from xml.etree import ElementTree as ET

import pytest
from click.testing import CliRunner

from chaos.bench.budgets import OURSELVES, OWN, PEERS
from chaos.bench.document import Build, Measured, document, lines
from chaos.bench.figures import Row, Turn, Who, row_of
from chaos.bench.gathered import BEGIN, END, gathered, markdown, newest, put_into
from chaos.bench.plot import apart, even_of, powers_of, svg
from meltica.api.outcomes import Exit
from meltica.cli.main import commands

PYTHON = "CPython 3.11.2 (main, a day) [GCC 12.2.0]"
QUIET, LOUD = Measured(2, 190.0, 60.0, 0.1, python=PYTHON), Measured(2, 210.0, 60.0, 9.0)


def row(system, variant, what="commit", callers=1, **figures):
    return Row(what, Who(system, variant), 1000, callers, **figures)


def made(bench, *rows, at="2026-01-02T03:04:05+00:00", machine=QUIET, disturbed=0, broken_off="", peers=()):
    build = Build(bench, at, "0123456789ab", peers=dict(peers))
    return json.loads(json.dumps(document(build, machine, rows, disturbed, broken_off)))


COMMIT = (
    row("meltica", "nothing", p50_ms=1.0, rate_per_s=900.0),
    row("etcd", "defaults", p50_ms=1.5, rate_per_s=600.0),
    row("etcd", "tuned", p50_ms=1.2, rate_per_s=650.0),
    row("pysyncobj", "tuned", p50_ms=0.25, rate_per_s=3000.0),
)


def lines_of(*documents):
    return {one["what"]: one for one in gathered(newest(documents))["lines"]}


def test_every_budget_has_its_line_whether_it_was_measured_or_not():
    lines = lines_of()
    assert [*lines] == [each.text for each in (*PEERS, *OURSELVES, *OWN)]
    assert not any(one["measured"] for one in lines.values())
    text = "\n".join(markdown(gathered({})))
    assert text.count("not measured") == len(lines)
    assert "Nothing was measured." in text


def test_it_is_held_only_beside_each_of_etcds_rows():
    line = lines_of(made("commit", *COMMIT))["commit p50, 1 caller, nothing applied"]
    assert (line["ours"], line["held"]) == (1.0, False)  # 0.67 of the one, 0.83 of the other
    assert line["others"] == {
        "etcd": 1.5,
        "etcd, tuned": 1.2,
        "PySyncObj, which syncs nothing": None,
        "PySyncObj, tuned": 0.25,
    }
    text = "\n".join(markdown(gathered(newest([made("commit", *COMMIT)]))))
    (shown,) = [one for one in text.splitlines() if "1 caller, nothing applied" in one]
    cells = [one.strip() for one in shown.strip("|").split("|")]
    assert cells[1:] == [
        "≤ 0.8 times etcd's",
        "1 ms",
        "1,000",
        "**missed**",
        "1.5 ms (0.67)",
        "1.2 ms (0.83)",
        "",
        "0.25 ms (4.00)",
    ]
    assert "Commit 0123456789ab, 2026-01-02, 2 cores; one fsync 190 us" in text
    assert "quoted" not in text


def test_which_version_of_each_peer_was_measured_is_told_once():
    peers = {"etcd": "3.4.23", "pysyncobj": "0.3.14"}
    both = [made("commit", *COMMIT, peers=peers), made("heal", peers={"etcd": "3.4.23"}), made("apply")]
    before = {key: value for key, value in both[2].items() if key != "peers"}  # as it was written before
    text = [*markdown(gathered(newest([*both[:2], before])))]
    assert "Peers: etcd 3.4.23, PySyncObj 0.3.14." in text
    assert not any(line.startswith("Peers") for line in markdown(gathered(newest([before]))))


def test_which_interpreter_it_was_is_told_once():
    both = [made("commit", *COMMIT), made("heal")]
    assert [*markdown(gathered(newest(both)))].count(f"{PYTHON}.") == 1
    assert PYTHON in lines(both[0])
    for one in both:
        del one["machine"]["python"]  # as it was written before
    assert not any(line.startswith("CPython") for line in markdown(gathered(newest(both))))


def test_without_a_peer_it_is_told_and_not_judged():
    line = lines_of(made("commit", COMMIT[0], COMMIT[3]))["commit p50, 1 caller, nothing applied"]
    assert (line["measured"], line["ours"], line["held"]) == (True, 1.0, None)


def test_a_figure_alone_is_judged_and_a_peers_stands_beside_it():
    ours, theirs = (("meltica", "quoting"), 340.0), (("etcd", "tuned"), 307.0)
    found = made("failover", *(row(*who, "failover", None, p50_ms=ms) for who, ms in (ours, theirs)))
    line = lines_of(found)["failover p50, quoting: W + 50 ms"]
    assert (line["ours"], line["held"], line["others"]["etcd, tuned"]) == (340.0, True, 307.0)
    assert lines_of(found)["failover p99, quoting: W + 200 ms"]["held"] is None
    text = "\n".join(markdown(gathered(newest([found]))))
    assert "too few samples" in text


def test_where_the_time_of_a_takeover_went_stands_under_the_budgets():
    phases = {"detected": 40.0, "epoch_committed": 55.5, "authority": None}
    struck = row("meltica", "quoting", "failover", None, p50_ms=340.0, more=(("phases_p50_ms", phases),))
    table = gathered(newest([made("failover", struck, row("etcd", "tuned", "failover", None, p50_ms=307.0))]))
    assert [one["variant"] for one in table["phases"]] == ["quoting"]
    text = [*markdown(table)]
    (place,) = [at for at, one in enumerate(text) if "ms from the strike" in one]
    cells = [[one.strip() for one in text[at].strip("|").split("|")] for at in (place, place + 2)]
    assert cells[0] == ["ms from the strike, p50", "detected", "epoch committed", "authority"]
    assert cells[1] == ["failover, quoting", "40", "55.5", ""]
    assert place < next(at for at, one in enumerate(text) if one.startswith("Commit "))
    assert not any("from the strike" in one for one in markdown(gathered(newest([made("commit", *COMMIT)]))))


def test_a_peers_row_stands_beside_that_of_ours_which_it_is_like():
    ours = [row("meltica", variant, "freeze", None, max_ms=700.0) for variant in ("frozen", "cut off")]
    rows = [
        Row("freeze", Who("etcd", "tuned", like=like), 30, max_ms=ms)
        for like, ms in (("frozen", 1.0), ("cut off", 2.0))
    ]
    lines = lines_of(made("freeze", *ours, *rows))
    beside = [one["others"]["etcd, tuned"] for one in lines.values() if one["bench"] == "freeze"]
    assert beside == [1.0, 2.0]


def test_how_many_there_were_and_how_many_of_them_were_over_stands_beside_it():
    few = made("failover", row_of("failover", Who("meltica", "quoting"), [Turn((340.0, 341.0))]))
    line = lines_of(few)["failover p50, quoting: W + 50 ms"]
    assert (line["ours"], line["n"], line["held"]) == (340.0, 2, None)
    many = made("failover", row_of("failover", Who("meltica", "quoting"), [Turn((*[340.0] * 99, 900.0))]))
    text = "\n".join(markdown(gathered(newest([many]))))
    (shown,) = [one for one in text.splitlines() if "failover p99, quoting" in one]
    assert [one.strip() for one in shown.strip("|").split("|")][2:5] == ["340 ms", "100, 1 over", "held"]


def test_a_snapshot_is_judged_by_the_same_nodes_without():
    rows = [row("meltica", name, "snapshot", p99_ms=ms) for name, ms in (("one away", 2.0), ("taking", 3.1))]
    line = lines_of(made("snapshot", *rows))["commit p99 while a snapshot is taken"]
    assert (line["ours"], line["without"], line["held"]) == (3.1, 2.0, False)
    assert "3.1 ms, 2 ms without" in "\n".join(markdown(gathered(newest([made("snapshot", *rows)]))))


def test_what_a_snapshot_costs_beside_three_nodes_is_told_below_and_judges_nobody():
    """That a standby is away is in it too."""
    figures = (("three nodes", 1.55), ("one away", 2.0), ("taking", 3.1), ("sending", None))
    found = made("snapshot", *[row("meltica", name, "snapshot", p99_ms=ms) for name, ms in figures])
    text = [*markdown(gathered(newest([found])))]
    (place,) = [at for at, one in enumerate(text) if "told, not judged" in one]
    cells = [
        [one.strip() for one in line.strip("|").split("|")] for line in (text[place], *text[place + 2 : place + 4])
    ]
    assert cells == [
        ["told, not judged", "Meltica", "without", "times", "n"],
        ["commit p99 while a snapshot is taken, beside three nodes", "3.1 ms", "1.55 ms", "2", "1,000"],
        ["commit p99 while a snapshot is sent, beside three nodes", "too few samples", "1.55 ms", "", "1,000"],
    ]
    assert place > max(at for at, one in enumerate(text) if "while a snapshot is taken  " in one)
    assert text[place - 1] == text[place + 4] == ""
    assert not any("told, not judged" in one for one in markdown(gathered(newest([made("commit", *COMMIT)]))))


def test_the_newer_of_two_counts_and_a_busy_machine_is_told():
    old = made("apply", row("meltica", "1 an entry", "apply", None, rate_per_s=9.0))
    new = made(
        "apply",
        row("meltica", "1 an entry", "apply", None, rate_per_s=25_000.0),
        at="2026-02-02T00:00:00+00:00",
        machine=LOUD,
        disturbed=2,
    )
    for both in ([old, new], [new, old]):
        (line,) = [one for one in gathered(newest(both))["lines"] if one["bench"] == "apply"]
        assert (line["ours"], line["held"]) == (25_000.0, True)
    text = "\n".join(markdown(gathered(newest([old, new]))))
    assert "**Not to be quoted**: the machine was not quiet before or in apply." in text
    assert "made again: apply 2." in text


def cuts(gaps, **named):
    return made("heal", row_of("heal", Who("meltica", "cut and healed"), [Turn((100.0,) * 100)], gaps=gaps), **named)


def test_a_bench_that_was_broken_off_held_nothing_and_the_table_says_why():
    """A checker may have ended it: an order that was sent twice is no reason to say that its budgets are held."""
    late = cuts(0, broken_off="BenchFault: one_send")
    assert {one["held"] for one in late["budgets"]} == {None}
    assert any("not judged: it was broken off" in line for line in lines(late))
    older = {**late, "budgets": [{**one, "held": True} for one in late["budgets"]]}  # as it was written before
    for one in (late, older):
        line = lines_of(one)["standby cut off and healed: gaps in trading"]
        assert (line["measured"], line["held"], line["broken_off"]) == (True, None, True)
        text = "\n".join(markdown(gathered(newest([one]))))
        (shown,) = [part for part in text.splitlines() if "healed: gaps in trading" in part]
        assert [cell.strip() for cell in shown.strip("|").split("|")][4] == "broken off"


def test_a_whole_document_counts_before_a_newer_one_that_was_broken_off():
    whole = cuts(3)
    late = cuts(0, at="2026-03-02T00:00:00+00:00", broken_off="BenchFault: no leader")
    for both in ([whole, late], [late, whole]):
        line = lines_of(*both)["standby cut off and healed: gaps in trading"]
        assert (line["ours"], line["held"], line["broken_off"]) == (3, False, False)
    assert newest([late]) == {"heal": late}


def test_what_was_profiled_is_judged_nowhere(tmp_path):
    """Samples take time of their own: no figure of such a run may stand anywhere."""
    build = Build("apply", "2026-05-02T00:00:00+00:00", "0123456789ab", profiled=True)
    found = document(build, QUIET, [row("meltica", "1 an entry", "apply", None, rate_per_s=25_000.0)], 0)
    assert found["profiled"] is True
    assert {one["held"] for one in (*found["ratios"], *found["budgets"])} == {None}
    assert any("not judged: it was profiled" in line for line in lines(found))
    assert any(line.startswith("PROFILED") for line in lines(found))
    assert newest([found]) == {}
    (tmp_path / "apply.json").write_text(json.dumps(found))
    done = CliRunner().invoke(commands, ["bench", "table", str(tmp_path)])
    assert (done.exit_code, "apply.json was profiled" in done.stderr) == (0, True)
    assert "Nothing was measured." in done.stdout


def test_what_is_no_benchs_document_is_passed_over(tmp_path):
    others = [{}, {"schema": "meltica.sim/1"}, {"schema": "meltica.bench/1"}]
    assert newest(others) == {}
    for place, one in enumerate(others):
        (tmp_path / f"{place}.json").write_text(json.dumps(one))
    done = CliRunner().invoke(commands, ["bench", "table", str(tmp_path), "-o", "json"])
    assert done.exit_code == 0
    assert done.stderr.count("passed over") == 3
    assert json.loads(done.stdout)["schema"] == "meltica.bench-table/1"


def test_kinds_of_growth_that_were_measured_apart_stand_side_by_side():
    one, other = (made("growth", each) for each in (*growing(),)[:4:3])
    assert [*newest([one, other])] == ["growth commit", "growth failover"]
    assert len(gathered(newest([one, other]))["growth"]) == 2


def growing():
    sizes = (10, 1_000, 100_000)
    yield from (
        row("meltica", f"{n} orders", "growth commit", p50_ms=1.0 + n / 1e5, more=(("orders", n),)) for n in sizes
    )
    for opened in (1, 100, 1_000):
        for doubt in (0, 100):
            more = (("open", opened), ("in_doubt", doubt))
            yield row("meltica", f"{opened} open, {doubt}", "growth failover", None, p50_ms=350.0 + doubt, more=more)
    for of in ("core", "leader"):
        for done in (0, 10**6):
            more = (("commands", done), ("rss_mb", 60.0 + done / 1e5), ("of", of))
            yield row("meltica", f"{of}, {done}", "growth memory", None, more=more)


def test_growth_is_a_table_and_a_picture(tmp_path):
    (tmp_path / "growth.json").write_text(json.dumps(made("growth", *growing())))
    readme, plot = tmp_path / "README.md", tmp_path / "growth.svg"
    readme.write_text(f"before\n\n{BEGIN}\nold\n{END}\n\nafter\n")
    words = ["bench", "table", str(tmp_path), "--into", str(readme), "--plot", str(plot)]
    done = CliRunner().invoke(commands, words)
    assert (done.exit_code, done.output) == (0, "")
    text = readme.read_text()
    assert text.startswith("before\n\n")
    assert text.endswith(f"{END}\n\nafter\n")
    assert "old" not in text
    assert "| growth commit" in text
    assert text.index("| growth commit") < text.index("](growth.svg)") < text.index(END)
    (head,) = [one for one in text.splitlines() if "what grows" in one]
    assert [one.strip() for one in head.strip("|").split("|")] == ["what grows", "with", "n", "p50 ms", "MB"]
    drawn = ET.fromstring(plot.read_text())  # noqa: S314 - our own
    texts = [one.text for one in drawn.iter("{http://www.w3.org/2000/svg}text")]
    assert {"Memory of a process", "core", "100 in doubt", "100,000", "1 M"} <= {*texts}
    assert texts.count("n=1000") == 3 * 2  # beside each median of failovers, which are of few strikes, and nowhere else
    assert len(list(drawn.iter("{http://www.w3.org/2000/svg}polyline"))) == 1 + 2 + 2
    assert "nothing of growth was measured" in svg([])


def test_a_file_without_the_marks_is_refused(tmp_path):
    with pytest.raises(ValueError, match="not one place"):
        put_into("no mark", [])
    with pytest.raises(ValueError, match="not one place"):
        put_into(f"{END}{BEGIN}", [])
    readme = tmp_path / "README.md"
    readme.write_text("no mark")
    done = CliRunner().invoke(commands, ["bench", "table", str(tmp_path), "--into", str(readme)])
    assert done.exit_code == Exit.USAGE
    (tmp_path / "empty.json").touch()
    done = CliRunner().invoke(commands, ["bench", "table", str(tmp_path)])
    assert done.exit_code == Exit.USAGE
    assert "empty.json is no document" in done.stderr
    done = CliRunner().invoke(commands, ["bench", "table", str(tmp_path / "nowhere")])
    assert (done.exit_code, "nowhere is no folder" in done.stderr) == (Exit.USAGE, True)


def test_an_axis_holds_all_values_and_nought_stands_at_its_edge():
    axis = powers_of([0, 30, 1_000], 0.0, 200.0)
    assert (axis.at(10), axis.at(100), axis.at(1_000), axis.at(0)) == (0.0, 100.0, 200.0, 0.0)
    assert powers_of([], 0.0, 1.0).ticks == [1.0, 10.0]
    assert even_of([3.0, 68.0], 300.0, 0.0).ticks == [0, 20, 40, 60, 80]
    assert even_of([3.0, 68.0], 300.0, 0.0).at(40) == 150.0
    assert even_of([12.0], 0.0, 1.0).ticks == [0, 5, 10, 15]
    assert even_of([0.0], 0.0, 1.0).ticks[-1] == 1.0


def test_names_do_not_lie_upon_each_other():
    assert apart([50.0, 10.0, 52.0, 51.0]) == [50.0, 10.0, 76.0, 63.0]
