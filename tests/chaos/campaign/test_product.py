"""The fingerprint of what was played: another with every byte of it, the same wherever it lies."""

from __future__ import annotations

from pathlib import Path

from chaos.campaign.product import PLAYED, fingerprint


def of(folder: Path) -> str:
    return fingerprint((("room", folder),), ())


def written(folder: Path, **files: str) -> Path:
    folder.mkdir()
    for name, text in files.items():
        (folder / f"{name}.py").write_text(text)
    return folder


def test_it_is_of_the_text_and_not_of_the_place(tmp_path: Path) -> None:
    first = of(written(tmp_path / "a", one="x = 1\n", two=""))
    assert first == of(written(tmp_path / "b", one="x = 1\n", two=""))
    assert first != of(written(tmp_path / "c", one="x = 2\n", two=""))
    assert first != of(written(tmp_path / "d", one="x = 1\n", three=""))
    assert first != of(written(tmp_path / "e", one="", two="x = 1\n"))


def test_what_a_package_beside_it_is_counts_too(tmp_path: Path) -> None:
    folder = written(tmp_path / "a", one="")
    assert fingerprint((("room", folder),), ("attrs",)) != of(folder)


def test_it_is_of_the_product_and_its_judges() -> None:
    assert {name for name, _ in PLAYED} >= {"meltica", "cluster", "chaos/sim", "chaos/checkers", "chaos/storm"}
    assert fingerprint() == fingerprint()
