"""The Toxiproxy server of this machine: which one it must be, and what is said where it is not to be had."""

from __future__ import annotations

import subprocess

import pytest

from chaos.toxiproxy import build
from chaos.toxiproxy.__main__ import main

GO = f"toxiproxy-server: go1.26.8\n\tpath\t{build.MODULE}/cmd/server\n\t{build.MADE_OF}\tdep\tx\tv1\n"


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """A machine with an empty `.tools/`, and with Go or without."""
    monkeypatch.setattr(build, "ROOT", tmp_path)
    monkeypatch.setattr(build, "TOOLS", tmp_path / ".tools")
    monkeypatch.setattr(build, "SERVER", tmp_path / ".tools" / "toxiproxy-server")
    ran = []

    def prepare(*, go, says=GO, builds=True):
        def run(command, **options):
            ran.append(command)
            if command[1] == "install" and builds:
                (tmp_path / ".tools" / options["env"]["GOBIN"].rpartition("/")[2] / "server").write_text("built")
            return subprocess.CompletedProcess(command, 0, stdout=says, stderr="")

        monkeypatch.setattr(build.shutil, "which", lambda word: f"/bin/{word}" if go else None)
        monkeypatch.setattr(build.subprocess, "run", run)
        return ran

    return prepare


def there(text=""):
    build.SERVER.parent.mkdir(exist_ok=True)
    build.SERVER.write_text(text)


def test_it_is_built_at_the_pinned_version_and_checked(machine):
    ran = machine(go=True)
    assert build.server() == build.SERVER
    assert [one[1] for one in ran] == ["install", "version"]
    assert ran[0][2] == "github.com/Shopify/toxiproxy/v2/cmd/server@v2.12.0"
    assert [one.name for one in build.TOOLS.iterdir()] == ["toxiproxy-server"]


def test_one_that_is_there_is_kept(machine):
    ran = machine(go=True)
    there()
    build.server()
    assert [one[1] for one in ran] == ["version"]


@pytest.mark.parametrize("says", [GO.replace("v2.12.0", "v2.11.0"), GO.replace("h1:d", "h1:e"), "not a Go binary"])
def test_another_one_is_refused(machine, says):
    machine(go=True, says=says)
    there()
    with pytest.raises(build.Missing, match="remove it"):
        build.server()


def test_go_that_does_not_answer_is_not_waited_for_for_ever(machine, monkeypatch):
    machine(go=True)
    there()

    def run(command, **options):
        raise subprocess.TimeoutExpired(command, options["timeout"])

    monkeypatch.setattr(build.subprocess, "run", run)
    with pytest.raises(build.Missing, match="did not answer within 60 s"):
        build.checked()


def test_without_go_the_message_says_what_to_install_and_the_exit_code_is_2(machine, capsys):
    machine(go=False)
    assert main() == 2
    assert "install Go 1.23 or later" in capsys.readouterr().err
    assert not build.TOOLS.exists()


def test_without_go_one_that_was_brought_is_read_itself(machine):
    ran = machine(go=False)
    there(f"\x7fELF path\tx\n{build.MADE_OF}rest")
    assert build.server() == build.SERVER
    assert not ran
    there("another")
    with pytest.raises(build.Missing, match="remove it"):
        build.server()


def test_a_build_that_fails_says_why_and_leaves_nothing(machine):
    machine(go=True, says="go.mod requires go >= 1.23", builds=False)
    with pytest.raises(build.Missing, match=r"requires go >= 1\.23"):
        build.server()
    assert not list(build.TOOLS.iterdir())


def test_what_is_not_built_is_not_started(machine):
    machine(go=True)
    with pytest.raises(build.Missing, match="make tools"):
        build.checked()
