"""The page says all of it, and nothing that a run said becomes part of its markup."""

from __future__ import annotations

from collections.abc import Sequence
from html.parser import HTMLParser
from pathlib import Path

import pytest
from attrs import evolve
from click.testing import CliRunner

from chaos.checkers.all import CHECKS
from chaos.checkers.history import History
from chaos.checkers.verdict import Check
from chaos.cli import main
from chaos.report import folder as rooms
from chaos.report.again import again, again_all
from chaos.report.folder import NoRun, incident_in
from chaos.report.page import OF_A_RUN, meaning, overview, page
from chaos.report.retell import retell
from cluster.store import StoreFault
from tests.chaos.checkers.honest import honest
from tests.chaos.report.left import DEMO, LIVE, MS, laid, left

VOID = frozenset({"meta", "rect"})


class Reader(HTMLParser):
    """All text, and whether every tag is closed."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.text: list[str] = []
        self.tags: list[str] = []

    def handle_starttag(self, tag: str, _attrs: object) -> None:
        self.tags.append(tag)
        if tag not in {"meta", "html", "p", "tr", "td", "th"}:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag in self.open:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def read(text: str) -> Reader:
    reader = Reader()
    reader.feed(text)
    assert reader.open == []
    return reader


def test_a_run_that_passed() -> None:
    text = " ".join(read(page(retell(left(), DEMO, "meltica demo --seed 7"))).text)
    for words in ("A demo", "pass", "kill", "200 ms", "one_send", "One id, one send (rule 3)", "meltica demo --seed 7"):
        assert words in text
    assert "What did not hold" not in text


def test_a_run_that_failed_says_so_first_with_its_excerpt() -> None:
    whole = page(retell(left(), LIVE, ""))
    assert whole.index("What did not hold") < whole.index("What happened")
    assert "ledger 1" in whole
    assert "method=order.place" in whole


def test_a_check_that_looked_at_nothing_did_not_hold() -> None:
    incident = evolve(retell(left(), DEMO, ""), verdict="fail", checks=(Check("one_send", 0, ()),))
    assert "looked at nothing" in page(incident)


def test_what_a_run_said_is_text() -> None:
    evil = "<script>alert(1)</script>"
    incident = evolve(retell(left(), DEMO, evil), title=evil, checks=(Check("one_send", 1, (evil,)),))
    reader = read(page(incident))
    assert "script" not in reader.tags
    assert "".join(reader.text).count(evil) >= 2


def test_it_needs_nothing_but_itself() -> None:
    whole = page(retell(left(), LIVE, ""))
    assert not any(word in whole for word in ("http:", "https:", "src=", "@import", "url("))


MISSED = {
    "what": "failover p99, quoting: W + 200 ms",
    "ours": 612.5,
    "budget": 500.0,
    "n": 200,
    "over": 3,
    "held": False,
}


def suite(**changes: object) -> dict[str, object]:
    gaps = {"p50": 120.0, "p99": None, "max": 1234.5, "n": 20}
    run = {**LIVE, "gaps_ms": gaps, "bound_ms": 700}
    return {
        **LIVE,
        "scenario": "smoke",
        "runs": [run, {**run, "verdict": "pass", "checks": []}],
        "played": 2,
        "failed": 1,
        "faults_by_kind": {"kill": {"times": 21, "not_done": 0}, "kill_staged": {"times": 7, "not_done": 6}},
        "gaps_ms_by_kind": {"kill": gaps, "mixed": gaps},
        "gaps_ms_during": {"kill": gaps, "kill_staged": {**gaps, "max": 4321.0}},
        "budgets": [MISSED, {**MISSED, "what": "promote p50", "held": None, "ours": None, "why": "3 of 30 samples"}],
        **changes,
    }


def test_a_suite_links_its_runs_and_says_how_long_trading_paused_by_kind() -> None:
    whole = overview(suite(), ["leader-killed-3"])
    text = " ".join(read(whole).text)
    assert 'href="leader-killed-3/report.html"' in whole
    for words in (
        "smoke",
        "1,234 ms",
        "700 ms",
        "120 ms",
        "kill",
        "one_send",
        "mixed",
        "kill_staged 7 6",
        "4,321 ms",
        "missed",
    ):
        assert words in " ".join(text.split())
    for words in ("failover p99, quoting: W + 200 ms 500.0 612.5 200 3 missed", "not judged 3 of 30 samples"):
        assert words in " ".join(text.split())
    assert "budgets" not in overview(suite(budgets=[]), ())
    by_hand = overview(suite(budgets=[{**MISSED, "what": "by hand", "budget": None, "held": None, "over": None}]), ())
    assert "by hand - 612.5" in " ".join(" ".join(read(by_hand).text).split())
    assert "Broken off" not in text
    stopped = {**LIVE, "gaps_ms": {"p50": None, "p99": None, "max": 9.0, "n": 1}, "bound_ms": None, "back_ms": 2600}
    assert "while it is stopped, + 2,600 ms" in overview(suite(runs=[stopped]), ())
    assert "Broken off: the disk" in " ".join(read(overview(suite(broken_off="the disk <is> full"), ())).text)


def test_a_suite_says_what_failed_how_to_play_it_again_and_what_takeovers_took() -> None:
    phases = {"kill": {"epoch_committed": {"p50": 111.0, "p99": None, "max": 222.0, "n": 20}}}
    failed = {**LIVE, "again": "meltica-chaos run leader-killed --seed 3"}
    whole = suite(failures=[failed], phases_ms_by_kind=phases, again="meltica-chaos run --suite smoke --seed 3")
    text = " ".join(" ".join(read(overview(whole, ["leader-killed-3"])).text).split())
    for words in (
        "leader-killed-3 one_send:",
        "meltica-chaos run leader-killed --seed 3",
        "meltica-chaos run --suite smoke --seed 3",
        "epoch committed 20 111 ms - 222 ms",
    ):
        assert words in text
    assert "takeovers" not in overview(suite(), ())


def test_beside_others_a_kind_has_all_of_its_figures() -> None:
    during = {"kill_staged": {"p50": 11.0, "p99": 22.0, "max": 33.0, "n": 200}}
    text = " ".join(" ".join(read(overview(suite(gaps_ms_during=during), ())).text).split())
    assert "kill_staged 7 6 - - - 11 ms 22 ms 33 ms" in text


def test_a_fault_says_what_the_takeover_that_it_cost_took() -> None:
    fault = {**LIVE["faults"][0], "phases_ms": {"detected": 100.0, "epoch_committed": 150.0, "reconciled": None}}
    text = " ".join(" ".join(read(page(retell(left(), {**LIVE, "faults": [fault]}, ""))).text).split())
    assert "detected 100 ms, epoch committed 150 ms" in text
    assert "reconciled" not in text


def test_a_run_that_was_broken_off_before_it_had_a_page_is_not_linked() -> None:
    assert "href" not in overview(suite(), ())


def test_what_a_fault_lacked_and_what_was_lifted_by_hand_is_told() -> None:
    fault = {**LIVE["faults"][0], "in_force_mono_ns": 3250 * MS, "led": "n3", "not_done": ["n1 was down <already>"]}
    document = {**LIVE, "faults": [fault], "lifted": [{"cause": "takeover_storm", "index": 77, "request": "r"}]}
    text = " ".join(read(page(retell(left(), document, ""))).text)
    for words in ("250 ms", "n3", "n1 was down <already>", "takeover_storm at index 77", "on duty"):
        assert words in text
    assert "on duty" not in page(retell(left(), LIVE, ""))


@pytest.mark.parametrize("check", [*(check.__name__ for check in CHECKS), *OF_A_RUN, "failed_closed", "not_grown"])
def test_every_check_says_what_it_stands_for(check: str) -> None:
    assert len(meaning(check)) > 20


def test_a_check_of_a_scenario_s_own_needs_no_room() -> None:
    assert meaning("its own") == ""


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder as a demo leaves it, but for the stores, which a history stands for."""
    monkeypatch.setattr(rooms, "gather", lambda *_: honest())
    return laid(tmp_path, DEMO)


def test_the_command_puts_the_page_into_the_folder(kept: Path) -> None:
    found = CliRunner().invoke(main, ["report", str(kept)])
    assert (found.exit_code, found.output.strip()) == (0, str(kept / "report.html"))
    assert (kept / "report.html").read_text() == page(retell(left(), DEMO, again(DEMO)))


@pytest.mark.parametrize(
    ("gone", "text", "says"),
    [
        ("verdict.json", "{", "can't be read"),
        ("verdict.json", "[]", "is no verdict"),
        ("ledger.jsonl", None, "holds no run"),
    ],
)
def test_a_folder_that_lacks_something(kept: Path, gone: str, text: str | None, says: str) -> None:
    (kept / gone).unlink()
    if text is not None:
        (kept / gone).write_text(text)
    found = CliRunner().invoke(main, ["report", str(kept)])
    assert found.exit_code == 1
    assert says in found.output


def test_a_run_that_was_broken_off_has_a_page_that_says_so(kept: Path) -> None:
    (kept / "verdict.json").unlink()
    found = CliRunner().invoke(main, ["report", str(kept)])
    assert found.exit_code == 0
    text = " ".join(read((kept / "report.html").read_text()).text)
    for words in ("A run that was broken off", "not judged", "epoch 1"):
        assert words in text
    assert "Again" not in text


def test_an_empty_folder(tmp_path: Path) -> None:
    with pytest.raises(NoRun, match="holds no run"):
        incident_in(tmp_path, DEMO)


def test_a_store_that_cannot_be_read_is_left_out_and_said(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def gather(_folder: Path, nodes: Sequence[str]) -> History:
        if "n2" in nodes:
            raise StoreFault("block checksum mismatch")
        return evolve(honest(), nodes=tuple(one for one in honest().nodes if one.name in nodes))

    monkeypatch.setattr(rooms, "gather", gather)
    found = incident_in(kept, LIVE)
    assert found.lacks == ("n2: StoreFault: block checksum mismatch",)
    assert "block checksum mismatch" in " ".join(read(page(found)).text)
    assert "could not be read" not in page(retell(left(), LIVE, ""))


def test_a_node_that_was_never_started_has_no_log(kept: Path) -> None:
    (kept / "logs" / "n3.jsonl").unlink()
    assert incident_in(kept, LIVE).nodes == ("n1", "n2", "n3")


def test_how_a_run_is_repeated() -> None:
    assert again(DEMO) == "meltica demo --seed 7 --duration 20 --keep DIR"
    assert "--tape market.bin" in again({**DEMO, "market": "tape:market.bin"})
    assert "--tape 'a market' --keep" in again({**DEMO, "market": "tape:a market"})
    assert again(LIVE) == "meltica-chaos run leader-killed --seed 3"
    assert again({**LIVE, "mutant": "no deadline"}) == "meltica-chaos run leader-killed --seed 3 --mutant 'no deadline'"
    assert again({**LIVE, "left_out": {}}) == "meltica-chaos run leader-killed --seed 3 --cluster FILE"
    far = {**LIVE, "left_out": {}, "place": "/there/my place.toml"}
    assert again(far) == "meltica-chaos run leader-killed --seed 3 --cluster '/there/my place.toml'"
    assert again({**LIVE, "slower": 4}) == "meltica-chaos run leader-killed --seed 3 --slower 4"


def test_what_a_run_was_played_for_is_told() -> None:
    shown = page(retell(left(), {**LIVE, "shows": "that nothing <is> lost"}, ""))
    assert "What it was played to show: that nothing <is> lost." in " ".join(read(shown).text)
    assert "played to show" not in page(retell(left(), LIVE, ""))


def test_the_picture_comes_before_the_evidence_and_one_excerpt_of_a_check_is_unfolded() -> None:
    several = [{**LIVE["checks"][0], "violations": ["request 4 was late", "request 1 was late", "request 2 was late"]}]
    shown = page(retell(left(), {**LIVE, "checks": several}, ""))
    places = [shown.index(words) for words in ("(the first of 3)", "<svg", "What shows that it did not hold")]
    assert places == sorted(places)
    assert (shown.count("<details"), shown.count('<details class="violation" open>')) == (3, 1)


def test_how_a_suite_is_repeated() -> None:
    trust = {"scenario": "trust", "seed": 5, "slower": 3, "mutant": "no deadline"}
    again = again_all(trust, suite=True, rounds=None)
    assert again == "meltica-chaos run --suite trust --seed 5 --slower 3 --mutant 'no deadline' --report DIR"
    rounds = again_all({"scenario": "leader-killed", "seed": 5}, suite=False, rounds=20)
    assert rounds == "meltica-chaos run leader-killed --seed 5 --rounds 20 --report DIR"
