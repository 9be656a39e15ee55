"""Percentiles, rows, ratios, budgets and the document: pure, so shown on figures that are made up."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from attrs import evolve

from chaos.bench.budgets import OWN, PEERS, budgets, ratios
from chaos.bench.document import Build, Measured, document, lines
from chaos.bench.figures import Row, Turn, Who, ranked, row_of
from tests.shapes import keys_of

GOLDEN = Path(__file__).resolve().parents[2] / "golden" / "bench-keys.json"
BUILD = Build("commit", "2026-01-02T03:04:05+00:00", "0123456789ab", peers={"etcd": "3.4.23"})
QUIET = Measured(2, 190.0, 60.0, 0.1)


def row(system, variant, what="commit", callers=1, **figures):
    return Row(what=what, who=Who(system, variant), n=1000, callers=callers, **figures)


def test_a_percentile_is_a_value_that_was_measured():
    values = [float(one) for one in range(1, 201)]
    assert ranked(values, 0.5) == 100.0
    assert ranked(values, 0.99) == 198.0
    assert ranked([3.0, 5.0], 0.5) == 3.0


def test_too_few_samples_have_no_percentile():
    assert ranked([1.0], 0.5) is None
    assert ranked([1.0] * 99, 0.99) is None
    assert ranked([1.0] * 100, 0.99) == 1.0
    assert ranked([], 0.5) is None


def test_a_row_is_made_of_all_turns_together():
    turns = [Turn((1.0, 2.0), 2, 0.5, 100.0), Turn((9.0,), 3, 0.5, 200.0)]
    made = row_of("commit", Who("meltica", "core"), turns, 1, bytes=7)
    assert (made.n, made.p50_ms, made.p99_ms, made.max_ms) == (3, 2.0, None, 9.0)
    assert made.rate_per_s == 5.0
    assert dict(made.more) == {"bytes": 7, "cpu_us": 160.0}  # a mean over commands, not over turns


def test_a_rate_alone_counts_commands():
    made = row_of("apply", Who("meltica", "1 an entry"), [Turn((), 100, 0.01), Turn((), 100, 0.03)])
    assert (made.n, made.p50_ms, made.rate_per_s) == (200, None, 5000.0)


@pytest.mark.parametrize(("ours", "held"), [(0.8, True), (0.801, False)])
def test_a_latency_is_held_at_most(ours, held):
    found = ratios([row("meltica", "nothing", p50_ms=ours), row("etcd", "tuned", p50_ms=1.0)])
    (one,) = [each for each in found if each["variant"] == "tuned"]
    assert (one["ratio"], one["budget"], one["at_most"], one["held"]) == (ours, 0.8, True, held)


@pytest.mark.parametrize(("ours", "held"), [(2000.0, True), (1990.0, False)])
def test_a_rate_is_held_at_least(ours, held):
    rows = [row("meltica", "core", callers=32, rate_per_s=ours), row("etcd", "defaults", callers=32, rate_per_s=1000.0)]
    (one,) = ratios(rows)
    assert (one["budget"], one["at_most"], one["held"]) == (2.0, False, held)


def test_who_syncs_nothing_is_told_and_judges_nobody():
    (one,) = ratios([row("meltica", "nothing", p50_ms=3.0), row("pysyncobj", "tuned", p50_ms=1.0)])
    assert (one["ratio"], one["budget"], one["held"]) == (3.0, None, None)


def test_what_was_not_measured_is_not_judged():
    assert ratios([row("meltica", "nothing", p50_ms=1.0)]) == []
    (one,) = ratios([row("meltica", "nothing", p50_ms=None), row("etcd", "tuned", p50_ms=1.0)])
    assert (one["ratio"], one["held"]) == (None, None)


@pytest.mark.parametrize("each", OWN, ids=lambda each: each.text)
@pytest.mark.parametrize("over", [False, True])
def test_each_budget_of_its_own_is_held_or_missed(each, over):
    worse = 1.01 if each.at_most else 0.99
    value = each.budget * (worse if over else 1.0) if each.budget else int(over)
    known = each.column in Row.__slots__
    more = (("commands", each.commands), *(() if known else ((each.column, value),)))
    figures = {each.column: value} if known else {}
    found = budgets([row("meltica", each.variant, each.what, None, more=more, **figures)])
    (one,) = [found_one for found_one in found if found_one["what"] == each.text]
    assert (one["ours"], one["budget"], one["held"]) == (value, each.budget, not over)


@pytest.mark.parametrize("each", OWN, ids=lambda each: each.text)
def test_too_few_samples_hold_no_budget(each):
    known = each.column in Row.__slots__
    points = [(each.fewest - 1, each.commands), *([(each.fewest, each.commands - 1)] if each.commands else [])]
    for n, commands in points:
        more = (("commands", commands), *(() if known else ((each.column, each.budget),)))
        figures = {each.column: each.budget} if known else {}
        one = Row(each.what, Who("meltica", each.variant), n, None, more=more, **figures)
        assert {found["what"]: found["held"] for found in budgets([one])}[each.text] is None


def test_a_ratio_of_too_few_samples_is_told_and_not_judged():
    rows = [row("meltica", "nothing", p50_ms=0.5), evolve(row("etcd", "tuned", p50_ms=1.0), n=999)]
    (one,) = ratios(rows)
    assert (one["ratio"], one["n"], one["fewest"], one["held"]) == (0.5, 999, 1000, None)


def test_of_a_tail_it_is_told_how_many_were_over():
    made = row_of("failover", Who("meltica", "quoting"), [Turn((*[300.0] * 118, 700.0, 800.0))])
    p50, p99 = budgets([made])
    assert (p50["over"], p99["over"], p99["n"], p99["held"]) == (None, 2, 120, False)
    assert "MISSED, 2 of 120 over" in "\n".join(lines(document(BUILD, QUIET, [made], 0)))
    few = row_of("failover", Who("meltica", "quoting"), [Turn((300.0, 301.0))])
    assert "too few samples, 2 of 30" in "\n".join(lines(document(BUILD, QUIET, [few], 0)))


def test_a_peer_has_no_budget_of_its_own():
    assert budgets([row("etcd", "quoting", "failover", None, p50_ms=1.0)]) == []


def test_the_budgets_are_those_of_the_design():
    assert [(one.column, one.callers, one.variant, one.budget) for one in PEERS] == [
        ("p50_ms", 1, "nothing", 0.8),
        ("p50_ms", 1, "core", 0.8),
        ("rate_per_s", 32, "nothing", 4.0),
        ("rate_per_s", 32, "core", 2.0),
    ]
    assert [(one.what, one.column, one.budget) for one in OWN] == [
        ("failover", "p50_ms", 350.0),
        ("failover", "p99_ms", 500.0),
        ("failover", "p50_ms", 100.0),
        ("freeze", "max_ms", 750.0),
        ("freeze", "max_ms", 750.0),
        ("heal", "gaps", 0),
        ("heal", "leader_changes", 0),
        ("heal", "gaps", 0),
        ("heal", "leader_changes", 0),
        ("promote", "p50_ms", 50.0),
        ("apply", "rate_per_s", 20_000.0),
        ("restart", "max_ms", 5_000.0),
    ]


def whole():
    rows = [
        row("meltica", "nothing", p50_ms=0.9, p99_ms=2.0, max_ms=3.0, rate_per_s=1000.0),
        row("etcd", "tuned", p50_ms=1.2, p99_ms=2.0, max_ms=3.0, rate_per_s=800.0),
        row("meltica", "1 an entry", "apply", None, rate_per_s=21_000.0),
    ]
    return document(BUILD, QUIET, rows, 1)


def test_the_document_has_the_shape_that_was_promised():
    assert keys_of(whole()) == json.loads(GOLDEN.read_text())


def test_the_table_says_each_figure_and_what_came_of_each_budget():
    text = "\n".join(lines(whole()))
    assert "one fsync 190 us" in text
    assert "peers: etcd 3.4.23" in text
    assert "NOT QUIET" not in text
    assert "MISSED" not in text
    assert text.count("held") == 2
    assert "21,000" in text


def test_a_busy_machines_figures_say_that_they_are_not_to_be_quoted():
    def said(what, before=0.6, others=0.0):
        machine = Measured(2, 190.0, 60.0, before, others)
        return "\n".join(lines(document(BUILD, machine, [row("meltica", "core", what)], 0)))

    assert "NOT QUIET: others had 60% of the processors' time before the run, 0% in it" in said("commit")
    assert "NOT QUIET" not in said("counts")  # which are the same on any machine
    assert "10% of the processors' time before the run, 11% in it" in said("commit", 0.1, 0.11)
    assert "NOT QUIET" not in said("commit", 0.1, 0.1)
