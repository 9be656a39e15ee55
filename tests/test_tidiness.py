"""The house is tidy; and each rule of `tidiness` is seen failing on a snippet that breaks it."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[1]


def _load() -> ModuleType:
    """Tests are no package, so their shared code is loaded by its path."""
    spec = importlib.util.spec_from_file_location("tidiness", Path(__file__).with_name("tidiness.py"))
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules["tidiness"] = module
    spec.loader.exec_module(module)
    return module


tidiness = _load()
HEAD = '"""A file."""\n'


@pytest.fixture(scope="module")
def house():
    found = []
    for top in (*tidiness.PRODUCT, "tests"):
        for path in sorted((ROOT / top).rglob("*.py")):
            found.append(tidiness.Source(path.relative_to(ROOT).as_posix(), path.read_text()))
    return found


@pytest.mark.parametrize("name", tidiness.RULES)
def test_the_house_keeps(name, house):
    found = tidiness.RULES[name](house)
    assert not found, "\n" + "\n".join(str(one) for one in found)


def test_the_house_was_looked_at(house):
    assert len(list(tidiness.product(house))) > 60
    assert len(list(tidiness.pure(house))) > 20


@pytest.mark.parametrize("place", [*tidiness.PURE, *tidiness.DRIVERS])
def test_a_listed_room_is_there(place, house):
    """A room that is renamed must not slip out of the bans."""
    assert any(source.within((place,)) for source in house), f"{place} is in tidiness.py, but not in the house"


@pytest.mark.parametrize("place", tidiness.DRIVERS)
def test_a_driver_is_one(place, house):
    """What is excused from the bans needs it."""
    (driver,) = [source for source in house if source.path == place]
    assert {name.partition(".")[0] for name, _ in driver.imports} & set(tidiness.BANNED)


def test_the_specifications_are_plain_and_can_be_read_in_one_go():
    paths = [path for top in ("meltica", "cluster") for path in (ROOT / top).rglob("spec/*")]
    found = [tidiness.Source(path.relative_to(ROOT).as_posix(), path.read_text()) for path in paths]
    assert found
    assert not tidiness.prose(found)
    for source in found:
        assert source.path.endswith((".tla", ".cfg")), f"{source.path}: a specification's folder holds nothing else"
        assert len(source.text.splitlines()) <= tidiness.FILE_LINES, source.path


def written():
    """Every file of text that people write, whatever its kind."""
    for path in sorted(ROOT.rglob("*")):
        parts = path.relative_to(ROOT).parts
        if (parts[0] == ".ci" or not parts[0].startswith(".")) and "__pycache__" not in parts and path.is_file():
            try:
                yield tidiness.Source("/".join(parts), path.read_text())
            except UnicodeDecodeError:
                continue  # no text


def test_no_file_of_any_kind_holds_what_a_merge_left_behind():
    files = list(written())
    assert {Path(one.path).suffix for one in files} >= {".py", ".md", ".toml", ".tla", ".json"}
    found = tidiness.conflicts(files)
    assert not found, "\n" + "\n".join(str(one) for one in found)


def findings(rule, *files):
    """What `rule` finds in a house of these (path, text) files."""
    return tidiness.RULES[rule]([tidiness.Source(path, text) for path, text in files])


BROKEN = [
    ("sizes", "meltica/core/a.py", HEAD + "x = 1\n" * 600),
    ("sizes", "meltica/core/a.py", HEAD + "def f():\n" + "    x = 1\n" * 70),
    ("docstrings", "cluster/a.py", "x = 1\n"),
    ("docstrings", "cluster/a.py", HEAD + "def f():\n    pass\n"),
    ("docstrings", "cluster/a.py", HEAD + 'class A:\n    """A."""\n    def f(self):\n        pass\n'),
    ("reasons", "tests/test_a.py", "x = 1  # no" + "qa\n"),
    ("reasons", "meltica/a.py", "x = 1  # no" + "qa: E501\n"),
    ("reasons", "meltica/a.py", "x = 1  # type: ig" + "nore\n"),
    ("reasons", "meltica/a.py", "x = 1  # type: ig" + "nore[misc]\n"),
    ("reasons", "meltica/a.py", "x = 1  # pragma: no " + "cover\n"),
    ("prose", "meltica/a.py", '"""A \N{EM DASH} b."""\n'),
    ("prose", "meltica/a.py", "# TO" + "DO later\n"),
    ("conflicts", "cluster/DESIGN.md", "a\n" + "<" * 7 + " HEAD\nb\n"),
    ("conflicts", "cluster/DESIGN.md", "a\n" + "|" * 7 + " 0b23dd7\n"),
    ("conflicts", "meltica/a.toml", "a = 1\n" + "=" * 7 + "\na = 2\n"),
    ("conflicts", "Makefile", ">" * 7 + " 96deaa8 (Tests)\n"),
    ("mock_clocks", "tests/test_a.py", "@pytest.mark.usefix" + 'tures("autojump_clock")\n'),
    ("directions", "meltica/node.py", "from chaos.checkers import one_trader\n"),
    ("directions", "meltica/cli/status.py", "from chaos.bench import run\n"),
    ("directions", "meltica/cli/bench.py", "from chaos.demo import run\n"),
    ("directions", "cluster/raft.py", "import meltica.core.values\n"),
    ("directions", "meltica/core/a.py", "import trio\n"),
    ("directions", "meltica/core/a.py", "import random\n"),
    ("directions", "meltica/core/a.py", "from time import monotonic\n"),
    ("directions", "meltica/core/a.py", "from cluster.types import Term\n"),
    ("directions", "meltica/core/a.py", "from meltica.leader import leader\n"),
    ("directions", "meltica/core/a.py", "def f():\n    import os\n"),
    ("directions", "meltica/core/a.py", "from ..leader import leader\n"),
    ("directions", "meltica/venues/kraken/rest.py", "from meltica.leader.ports import ClusterPort\n"),
    ("directions", "meltica/venues/kraken/rest.py", "from meltica.venues.binance_spot import parse\n"),
    ("directions", "meltica/venues/clock.py", "import cluster.types\n"),
    ("directions", "meltica/api/app.py", "import tests.tidiness\n"),
    ("banned_modules", "meltica/leader/a.py", "import time\n"),
    ("banned_modules", "cluster/replica.py", "from datetime import datetime\n"),
    ("banned_modules", "meltica/paper/engine.py", "import trio\n"),
    ("module_random", "meltica/strategies/a.py", "import random\nx = random.random()\n"),
    ("module_random", "meltica/paper/engine.py", "from random import randint\n"),
    ("module_random", "meltica/paper/engine.py", "import random\nrng = random.Random()\n"),
    ("floats", "meltica/core/a.py", "x = 0.5\n"),
    ("floats", "meltica/strategies/a.py", "x = float('1')\n"),
    ("floats", "meltica/core/a.py", "x = 0.5  # tidy: float\n"),
    ("set_iteration", "meltica/core/a.py", "for x in {1, 2}:\n    pass\n"),
    ("set_iteration", "meltica/core/a.py", "y = [x for x in set(z)]\n"),
    ("set_iteration", "meltica/core/a.py", "y = tuple({x for x in z})\n"),
    ("set_iteration", "meltica/core/a.py", "a: set[int] = make()\nfor x in a:\n    pass\n"),
    (
        "set_iteration",
        "meltica/core/a.py",
        "class A:\n    b: frozenset[int]\n    def f(self):\n        return list(self.b)\n",
    ),
    ("set_iteration", "meltica/core/a.py", "def f(a: set[int]):\n    return [*a]\n"),
    ("set_iteration", "meltica/core/a.py", "a = set()\nfor x in a | b:\n    pass\n"),
]


@pytest.mark.parametrize(("rule", "path", "text"), BROKEN)
def test_a_rule_finds_what_breaks_it(rule, path, text):
    assert findings(rule, (path, text))


KEPT = [
    ("sizes", "tests/test_a.py", "x = 1\n" * 700),
    ("docstrings", "cluster/a.py", HEAD + "def _f():\n    pass\n"),
    ("reasons", "meltica/a.py", "x = 1  # no" + "qa: E501 - an address that can't be broken\n"),
    ("reasons", "meltica/a.py", "x = 1  # type: ig" + "nore[misc] # the library has no types\n"),
    ("reasons", "meltica/a.py", "x = '# no" + "qa'\n"),
    ("mock_clocks", "tests/test_a.py", "async def test(autojump_clock):\n    pass\n"),
    ("conflicts", "README.md", "a\n" + "=" * 8 + "\n" + "=" * 6 + "\n| " + ">" * 7 + "\n" + "<" * 8 + "\n"),
    ("directions", "tests/test_a.py", "import chaos\nimport meltica.core\n"),
    ("directions", "chaos/sim/a.py", "import meltica.core.apply\nimport cluster.replica\n"),
    ("directions", "meltica/cli/demo.py", "from chaos.demo import run\n"),
    ("directions", "meltica/cli/bench.py", "from chaos.bench import run\n"),
    ("directions", "meltica/core/a.py", "import json\nfrom attrs import frozen\nfrom cattrs import Converter\n"),
    ("directions", "meltica/core/a.py", "from meltica.core.values import Price\n"),
    (
        "directions",
        "meltica/venues/kraken/rest.py",
        "from meltica.venues.kraken import parse\nimport meltica.venues.base\n",
    ),
    ("banned_modules", "meltica/node.py", "import time\n"),
    (
        "banned_modules",
        "cluster/raft.py",
        "import time  # tidy: import - replaced in the private copy by the node's clock\n",
    ),
    ("module_random", "meltica/paper/engine.py", "import random\nrng = random.Random(7)\n"),
    ("floats", "meltica/core/a.py", "x = 0.5  # tidy: float - a ratio of counts, no money\n"),
    (
        "module_random",
        "chaos/sim/a.py",
        "from random import Random\ndef f(random: Random):\n    return random.random()\n",
    ),
    ("floats", "meltica/telemetry/a.py", "x = 0.5\n"),
    ("set_iteration", "meltica/core/a.py", "for x in sorted({1, 2}):\n    pass\n"),
    ("set_iteration", "meltica/core/a.py", "def f(a: set[int]):\n    return sum(1 for x in a)\n"),
    ("set_iteration", "meltica/core/a.py", "def f(a: set[int]):\n    pass\ndef g(a):\n    return list(a)\n"),
    ("set_iteration", "meltica/core/a.py", "y = 3 in {1, 2}\n"),
]


@pytest.mark.parametrize(("rule", "path", "text"), KEPT)
def test_a_rule_lets_pass_what_keeps_it(rule, path, text):
    assert not findings(rule, (path, text))


def test_a_second_importer_is_found():
    one, two = ("cluster/raft.py", "NAME = 'pysyncobj.syncobj'\n"), ("cluster/other.py", "import pysyncobj\n")
    assert not findings("single_importers", one)
    assert [one.path for one in findings("single_importers", one, two)] == ["cluster/raft.py"]


def test_a_dead_module_is_found_and_an_entry_or_a_named_one_is_not():
    main = ("meltica/cli/main.py", "COMMANDS = {'status': 'meltica.cli.status:status'}\n")
    status, dead = ("meltica/cli/status.py", "import json\n"), ("meltica/cli/dead.py", "import meltica.cli.dead\n")
    assert [one.path for one in findings("dead_modules", main, status, dead)] == ["meltica/cli/dead.py"]


def test_a_module_ahead_of_its_use_is_found_once_it_is_used(monkeypatch):
    monkeypatch.setattr(tidiness, "AHEAD", ("cluster.later",))
    ahead, user = ("cluster/later.py", HEAD), ("meltica/cli/main.py", "import cluster.later\n")
    assert not findings("dead_modules", ahead)
    assert [one.path for one in findings("dead_modules", ahead, user)] == [ahead[0]]


def test_every_rule_has_been_seen_failing():
    seen = {rule for rule, _, _ in BROKEN} | {"single_importers", "dead_modules"}
    assert seen == set(tidiness.RULES)
