"""The fingerprint of what was played: another with every byte of what it imports, the same wherever it lies."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from chaos.campaign.product import OURS, PLAYED, TOP, closure, fingerprint, modules

PLAY = """
import sys
from chaos.sim.plan import plan
from chaos.sim.run import run_plan
from chaos.storm.outcome import play
run_plan(plan(1, "small"))
play("members", 1)
print(*sorted(sys.modules))
"""


def of(top: Path) -> str:
    return fingerprint(("chaos.root",), (), top)


def written(top: Path, **files: str) -> Path:
    """A tree; `a__b` is the module b of the package a."""
    for name, text in files.items():
        path = top.joinpath(*name.split("__")).with_suffix(".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        for package in path.relative_to(top).parents[:-1]:
            (top / package / "__init__.py").touch()
        path.write_text(text)
    return top


def test_it_is_of_the_text_and_not_of_the_place(tmp_path: Path) -> None:
    root = "from cluster import one\n"
    first = of(written(tmp_path / "a", chaos__root=root, cluster__one="x = 1\n"))
    assert first == of(written(tmp_path / "b", chaos__root=root, cluster__one="x = 1\n"))
    assert first != of(written(tmp_path / "c", chaos__root=root, cluster__one="x = 2\n"))
    assert first != of(written(tmp_path / "d", chaos__root=root + "\n", cluster__one="x = 1\n"))


def test_what_is_not_imported_does_not_count(tmp_path: Path) -> None:
    root = "import cluster.one\n"
    first = of(written(tmp_path / "a", chaos__root=root, cluster__one=""))
    assert first == of(written(tmp_path / "b", chaos__root=root, cluster__one="", cluster__two="", tests__one=""))


BLOCKS = """
if x:
    import cluster.one
elif y:
    import cluster.two
else:
    import cluster.three
try:
    import cluster.four
except E:
    import cluster.five
else:
    import cluster.six
finally:
    import cluster.seven
for a in b:
    import cluster.eight
while x:
    pass
else:
    import cluster.nine
with a:
    import cluster.ten
class C:
    async def f(self):
        async with a:
            import cluster.eleven
match x:
    case 1:
        import cluster.twelve
"""


def test_an_import_in_any_block_counts(tmp_path: Path) -> None:
    names = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"]
    top = written(tmp_path, chaos__root=BLOCKS, **{f"cluster__{name}": "" for name in names})
    assert closure(("chaos.root",), top).keys() - {"chaos", "chaos.root", "cluster"} == {
        f"cluster.{name}" for name in names
    }


def test_it_goes_all_the_way_down_into_functions_and_packages(tmp_path: Path) -> None:
    top = written(
        tmp_path,
        chaos__root="def f():\n    from meltica.venues import paper\n",
        meltica__venues__paper="import cluster.guard, os\nfrom cluster.types import Peer\n",
        cluster__guard="",
        cluster__types="from tests import nothing\n",
    )
    assert {*closure(("chaos.root",), top)} == {
        *("chaos", "chaos.root", "cluster", "cluster.guard", "cluster.types"),
        *("meltica", "meltica.venues", "meltica.venues.paper"),
    }


def test_a_relative_import_is_refused_as_it_would_be_overlooked(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="write it out"):
        of(written(tmp_path, chaos__root="from . import one\n"))


def test_a_package_beside_it_counts_too(tmp_path: Path) -> None:
    written(tmp_path, chaos__root="")
    assert fingerprint(("chaos.root",), ("attrs",), tmp_path) != of(tmp_path)


def test_whatever_a_seed_has_loaded_counts() -> None:
    ran = subprocess.run(  # noqa: S603 # our own interpreter
        [sys.executable, "-c", PLAY], cwd=TOP, capture_output=True, text=True, check=True, timeout=120
    )
    loaded = {name for name in ran.stdout.split() if name.partition(".")[0] in OURS}
    counted = closure(PLAYED)
    assert {"meltica.core.apply", "meltica.leader.leader", "cluster.guard", "chaos.checkers.one_trader"} <= loaded
    assert loaded <= counted.keys()
    assert "chaos.cli" not in counted


def test_a_whole_package_may_be_asked_for(tmp_path: Path) -> None:
    written(tmp_path, meltica__venues__paper="")
    assert modules("meltica", tmp_path) == ("meltica", "meltica.venues", "meltica.venues.paper")
