"""The specification of authority: how it is asked and its answers read; and, where Java is, the small bound of it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from chaos.spec import model, tools
from chaos.spec.__main__ import main
from chaos.spec.cases import ALL, BREAKS, DEEP, GROUPS, QUICK, Case, chosen
from tests.ci import lacking

TEXT = "\n".join(path.read_text() for path in sorted(tools.SPECIFICATION.glob("*.tla")))
MUTATION = Case("NoWait", "why", frozenset({"P4Quiet"}), "NoWait")
PROTOCOL = Case("core", "why")

BROKEN = """Error: Invariant Nothing is violated.
Error: The behavior up to this point is:
State 1: <Initial predicate>
/\\ term = (n1 :> 1)
/\\ viol = {}

State 2: <StartEpoch line 1, col 1 to line 2, col 2 of module Authority>
/\\ term = (n1 :> 2 @@
  n2 :> 2)
/\\ viol = {"P1", "P4Quiet"}

120 states generated, 1,077 distinct states found, 3 states left on queue.
"""
HELD = (
    "Model checking completed. No error has been found.\n9 states generated, 7 distinct states found, 0 states left.\n"
)


# --- the small bound ------------------------------------------------------------------------------------------


def test_the_protocol_holds_and_each_mutation_is_caught() -> None:
    why = tools.why_not_here()
    if why:
        lacking(why)
    try:
        answer = tools.ask(QUICK, within=400)
    except tools.Missing as missing:
        lacking(missing)
    rows = [model.verdict(case, answer) for case in QUICK]
    assert answer.ended, answer.trouble
    assert not [f"{row.name}: {row.text}" for row in rows if not row.good]


# --- the table ------------------------------------------------------------------------------------------------


def test_a_name_means_one_case_in_each_group() -> None:
    for name, group in GROUPS.items():
        names = [case.name for case in group]
        assert len(set(names)) == len(names), name


def test_every_mutation_is_in_the_specification_and_asked_for() -> None:
    known = set(re.findall(r'Bug\("(\w+)"\)', TEXT))
    asked = {case.broken for case in ALL if case.broken}
    assert known | {"WipedDiskVotes"} == asked  # that one is a disk more that may be lost: its bound says so
    assert len({case.name for case in ALL if case.expect and not case.name.endswith("-P1")}) >= 25


def test_every_expectation_is_a_word_of_the_specification() -> None:
    for case in (*QUICK, *ALL, *DEEP):
        for hit in case.expect:
            assert f'"{hit}"' in TEXT, f"{case.name} expects {hit}"


def test_every_bound_is_read_by_the_specification() -> None:
    for name in model.asdict(PROTOCOL):
        assert name == "why" or re.search(rf"\bC\.{name}\b", TEXT), name


def test_words_choose_groups_and_cases_once() -> None:
    assert [case.name for case in chosen(["NoWait", "core"])] == ["NoWait", "core"]
    assert len(chosen(["breaks", "NoWait"])) == len(chosen(["breaks"])) >= len(BREAKS)
    with pytest.raises(ValueError, match="no case is called nonsense"):
        chosen(["nonsense"])


# --- asking ---------------------------------------------------------------------------------------------------


def test_a_case_becomes_a_record() -> None:
    case = Case("x", "why", frozenset({"P1", "P2"}), windows=frozenset({3, 2}), handover=True, process=frozenset())
    text = model.module([case, MUTATION])
    assert 'id |-> 1, name |-> "x", expect |-> {"P1", "P2"}, broken |-> ""' in text
    assert "windows |-> {2, 3}" in text
    assert "handover |-> TRUE" in text
    assert "process |-> {}" in text
    assert "why" not in text
    assert text.count("[id |-> ") == 2


def test_what_has_no_word_in_tla_is_refused() -> None:
    with pytest.raises(TypeError):
        model.literal(0.5)


def test_a_case_alone_stops_at_its_hit_and_several_go_on() -> None:
    assert "INVARIANTS Nothing" in model.configuration(alone=True)
    assert "CONSTRAINT Explore" in model.configuration(alone=False)


# --- reading --------------------------------------------------------------------------------------------------


def test_a_counterexample_is_read_with_its_steps() -> None:
    answer = model.read(BROKEN, [MUTATION])
    assert answer.hits == {"NoWait": {"P4Quiet": 1}}
    assert answer.states == 1077
    row = model.verdict(MUTATION, answer)
    assert row.good
    assert row.text == "caught: P4Quiet after 1 steps"
    assert "StartEpoch: term = (n1 :> 2 @@ n2 :> 2); viol" in model.steps(answer.trace)


def test_a_protocol_that_is_violated_is_bad() -> None:
    row = model.verdict(PROTOCOL, model.read(BROKEN, [PROTOCOL]))
    assert not row.good
    assert row.text == "VIOLATED: P1 after 1 steps, P4Quiet after 1 steps"


def test_a_mutation_that_nothing_is_seen_of_is_bad() -> None:
    assert model.verdict(PROTOCOL, model.read(HELD, [PROTOCOL])).text == "holds"
    row = model.verdict(MUTATION, model.read(HELD, [MUTATION]))
    assert not row.good
    assert row.text == "NOT caught: P4Quiet"


def test_a_mutation_caught_by_another_property_is_bad() -> None:
    said = '<<"HIT", "NoWait", 3, {"P5"}>>\n' + HELD
    assert not model.verdict(MUTATION, model.read(said, [MUTATION, PROTOCOL])).good


def test_several_cases_are_told_apart_by_what_they_print() -> None:
    said = '<<"HIT", "NoWait", 6, {"P4Quiet"}>>\n<<"HIT", "NoWait", 7, {"P4Quiet"}>>\n' + HELD
    answer = model.read(said, [MUTATION, PROTOCOL])
    assert answer.hits == {"NoWait": {"P4Quiet": 6}, "core": {}}
    assert model.verdict(PROTOCOL, answer).good


@pytest.mark.parametrize(
    "said",
    [
        "Error: Parsing or semantic analysis failed.",
        "Error: Invariant LeaderCompleteness is violated.\n",
        "Progress(9) at ...: 5 states generated, 4 distinct states found\nout of time after 9 s",
        "",
    ],
)
def test_a_run_that_did_not_end_never_holds(said: str) -> None:
    answer = model.read(said, [PROTOCOL])
    assert not answer.ended
    assert not model.verdict(PROTOCOL, answer).good


# --- the command ----------------------------------------------------------------------------------------------


def test_a_wrong_word_and_a_missing_java_are_told(monkeypatch, capsys) -> None:
    assert main(["nonsense"]) == 2
    monkeypatch.setattr(tools.shutil, "which", lambda _name: None)
    assert main(["core"]) == 2
    told = capsys.readouterr().err
    assert "no case is called nonsense" in told
    assert "install" in told


def test_another_jar_than_the_one_that_was_checked_is_refused(monkeypatch, tmp_path) -> None:
    monkeypatch.setattr(tools, "TOOLS", tmp_path)
    monkeypatch.setattr(tools, "why_not_here", lambda: "")
    (tmp_path / tools.JAR).write_bytes(b"another")
    with pytest.raises(tools.Missing, match="is not the one that was checked"):
        tools.jar()


def test_one_bad_case_is_a_failure(monkeypatch, capsys) -> None:
    monkeypatch.setattr(tools, "jar", lambda: tools.TOOLS)
    monkeypatch.setattr(tools, "ask", lambda cases, within: model.read(HELD, cases))
    assert main(["core"]) == 0
    assert main(["core", "NoWait"]) == 1
    assert "1 of 2 as they must be" in capsys.readouterr().out


# --- two at once ----------------------------------------------------------------------------------------------


def test_each_tlc_unpacks_its_modules_where_no_other_one_does(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """In Java's common folder the first that ended removed them under the other one: "Cannot find source file"."""
    ran: list[tuple[list[str], Path]] = []

    def run(command: list[str], folder: Path, _: float) -> str:
        ran.append((command, folder))
        return HELD

    monkeypatch.setattr(tools, "_run", run)
    monkeypatch.setattr(tools, "jar", lambda: tmp_path / tools.JAR)
    for _ in range(2):
        tools.ask([MUTATION], within=1)
    where = [next(word for word in command if word.startswith("-Djava.io.tmpdir=")) for command, _ in ran]
    assert where == [f"-Djava.io.tmpdir={folder}" for _, folder in ran]
    assert len(set(where)) == 2
