"""The folder that keeps a suite's runs: what came to its end is known again, what did not is put aside."""

from __future__ import annotations

import json
import os
from functools import partial

import pytest
from attrs import evolve

from chaos.live import kept, library
from chaos.live.library import chosen
from chaos.live.plan import plan
from tests.chaos.live.test_total import run

PLAN = plan(chosen("leader-killed"), 7)
WHOLE = run() | {"scenario": "leader-killed", "seed": 7}


def test_a_document_is_there_whole_or_as_it_was(tmp_path, monkeypatch):
    kept.put({"a": 1}, tmp_path)

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(kept.Path, "write_text", full)
    with pytest.raises(OSError, match="No space"):
        kept.put({"a": 2}, tmp_path)
    assert kept.read(tmp_path) == {"a": 1}
    assert [path.name for path in tmp_path.iterdir()] == ["verdict.json"]


def test_a_run_that_came_to_its_end_is_known_by_its_document(tmp_path):
    assert kept.ended(tmp_path, PLAN) is None
    (tmp_path / "verdict.json").write_text('{"scenario": "leader-ki')
    assert kept.ended(tmp_path, PLAN) is None
    kept.put(WHOLE, tmp_path)
    assert kept.ended(tmp_path, PLAN) == WHOLE
    assert kept.ended(tmp_path, evolve(PLAN, seed=8)) is None
    kept.put({word: value for word, value in WHOLE.items() if word != "pauses"}, tmp_path)  # of an older build
    assert kept.ended(tmp_path, PLAN) is None


def test_what_a_broken_off_run_has_left_goes_aside_and_is_lost_to_nobody(tmp_path):
    folder = tmp_path / "leader-killed-7"
    kept.aside(folder)  # there may be nothing
    for number in (1, 2):
        folder.mkdir()
        (folder / "ledger.jsonl").write_text(f"{number}")
        kept.aside(folder)
    assert not folder.exists()
    assert [(path.name, (path / "ledger.jsonl").read_text()) for path in sorted(tmp_path.iterdir())] == [
        ("leader-killed-7.broken-off-1", "1"),
        ("leader-killed-7.broken-off-2", "2"),
    ]


def test_of_a_run_that_passed_its_document_and_its_page_stay(tmp_path):
    for name in ("verdict.json", "report.html", "ledger.jsonl"):
        (tmp_path / name).write_text("x")
    (tmp_path / "nodes" / "n1").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "nodes")
    kept.thinned(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"verdict.json", "report.html"}


OURS = {"scenario": "endless", "seed": 1, "slower": 1, "mutant": "", "cluster": "", "product": "ab"}


def test_a_suite_goes_on_only_with_its_own_kind(tmp_path):
    assert not list(kept.differing({**OURS, "verdict": "fail"}, OURS))
    for word, other in (("scenario", "trust"), ("seed", 2), ("slower", 4), ("mutant", "x"), ("product", "cd")):
        (said,) = kept.differing({**OURS, word: other}, OURS)
        assert said.startswith(f"{word}: {other!r} was played there, and here it is {OURS[word]!r}")
    with pytest.raises(kept.CanNotGoOn, match=r"holds no suite's verdict\.json"):
        kept.begun(tmp_path)
    (tmp_path / "verdict.json").write_text(json.dumps(WHOLE))  # of one run alone
    with pytest.raises(kept.CanNotGoOn):
        kept.begun(tmp_path)


def test_the_same_code_has_the_same_name():
    assert kept.product() == kept.product()
    assert len(kept.product()) == 16


def test_a_scenario_is_part_of_what_is_played(tmp_path, monkeypatch):
    """The same name and seed with another text is another plan, and other bounds."""
    folder = tmp_path / kept.SCENARIOS
    folder.mkdir(parents=True)
    (folder / "one.toml").write_text("gap_ms = 500")
    first = kept.product(tmp_path)
    assert first == kept.product(tmp_path) != kept.product()
    code = kept.Code(first, tmp_path)
    monkeypatch.setattr(kept, "product", partial(kept.product, tmp_path))
    (folder / "one.toml").write_text("gap_ms = 600000")
    with pytest.raises(kept.Changed, match=r"\(chaos/scenarios/one\.toml\)"):
        code.look()
    second = kept.product()
    (folder / "one.toml").rename(folder / "other.toml")
    assert len({first, second, kept.product()}) == 3


def test_the_scenarios_that_are_shipped_lie_there():
    assert kept.TOP / kept.SCENARIOS == library.FOLDER


def test_code_that_is_changed_under_a_suite_is_seen_and_a_file_that_is_only_written_again_is_not(tmp_path, monkeypatch):
    said = ["ab"]
    monkeypatch.setattr(kept, "product", lambda: said[0])
    file = tmp_path / "meltica" / "node.py"
    file.parent.mkdir()
    file.write_text("one = 1")
    code = kept.Code("ab", tmp_path)
    code.look()
    os.utime(file, (1, 1))  # a checkout of the same
    code.look()
    said[0] = "cd"
    code.look()  # nothing was touched: nobody asks
    (tmp_path / "meltica" / "more.py").touch()
    with pytest.raises(kept.Changed, match=r"\(meltica/more\.py\)"):
        code.look()
