"""The entry point: exit codes and no tracebacks, as a real process and with a fault inside."""

from __future__ import annotations

import subprocess
import sys

import pytest

from meltica import __version__
from meltica.build import own_build
from meltica.cli import main as module
from meltica.cli.running import running


def test_it_runs_as_a_module():
    done = subprocess.run(
        [sys.executable, "-m", "meltica", "--version"], check=False, capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stdout) == (0, f"meltica, version {__version__}, build {own_build()}\n")


def broken(*_arguments, **_options):
    raise RuntimeError("the inside")


def test_a_fault_is_a_sentence_and_the_traceback_is_for_the_asking(monkeypatch, capsys):
    monkeypatch.setattr(module.commands, "main", broken)
    monkeypatch.setattr(sys, "argv", ["meltica", "status"])
    with pytest.raises(SystemExit) as ended:
        module.main()
    said = capsys.readouterr().err
    assert ended.value.code == 1
    assert "the inside" in said
    assert "--debug" in said
    assert "Traceback" not in said
    monkeypatch.setattr(sys, "argv", ["meltica", "--debug", "status"])
    with pytest.raises(RuntimeError):
        module.main()


def test_every_command_is_there_and_says_what_it_does():
    """But the demo, which its own tests load."""
    for name in module.COMMANDS:
        if name == "demo":
            continue
        command = module.commands.get_command(None, name)
        assert command is not None
        assert command.name == name
        assert command.help or command.short_help


def test_a_process_that_stays_tells_its_failure_in_json_lines(capsys):
    with pytest.raises(SystemExit) as ended, running("n1", with_stdin=False):
        raise ExceptionGroup("two", [ValueError("one cause"), ExceptionGroup("inner", [OSError("another")])])
    lines = capsys.readouterr().err.splitlines()
    assert ended.value.code == 1
    assert len(lines) == 2
    assert "ValueError: one cause" in lines[0]
    assert "OSError: another" in lines[1]


def test_a_child_ends_when_its_stdin_does():
    """By SIGTERM, as an operator would: here the default, which ends it."""
    program = (
        "from meltica.cli.running import running\nimport time\nwith running('n1', with_stdin=True):\n    time.sleep(60)"
    )
    child = subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE)  # noqa: S603 - our own program
    try:
        child.stdin.close()
        assert child.wait(30) == -15
    finally:
        child.kill()
        child.wait()
