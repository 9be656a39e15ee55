"""In CI nothing is skipped for what is not there: neither by a test, nor by the target, nor for want of a variable."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.ci import lacking

ROOT = Path(__file__).parents[1]
BASH = shutil.which("bash")
OUTCOMES = (
    pytest.fail.Exception,
    pytest.skip.Exception,
)  # both are caught: a skip would pass through as this test's own


@pytest.mark.parametrize("value", ["true", "1", "yes"])
def test_what_lacks_fails_a_test_in_ci(monkeypatch, value):
    monkeypatch.setenv("CI", value)
    with pytest.raises(OUTCOMES) as found:
        lacking("no server")
    assert (found.type, str(found.value)) == (pytest.fail.Exception, "no server, and in CI it must be here")


@pytest.mark.parametrize("value", [None, ""])
def test_what_lacks_is_skipped_elsewhere(monkeypatch, value):
    monkeypatch.delenv("CI", raising=False)
    if value is not None:
        monkeypatch.setenv("CI", value)
    with pytest.raises(OUTCOMES) as found:
        lacking("no server")
    assert (found.type, str(found.value)) == (pytest.skip.Exception, "no server")


def ran(words: list[str], **environment: str) -> subprocess.CompletedProcess[str]:
    """With no CI of this machine's own."""
    own = {key: value for key, value in os.environ.items() if key != "CI"} | environment
    return subprocess.run([BASH, *words], check=False, capture_output=True, text=True, env=own)  # noqa: S603 - our own


@pytest.mark.parametrize(("value", "code"), [("true", 1), ("1", 1), ("", 0)])
def test_the_target_goes_on_without_a_server_but_in_ci(value, code):
    (line,) = [one for one in (ROOT / "Makefile").read_text().splitlines() if "-m chaos.toxiproxy ||" in one]
    assert ran(["-c", "false ||" + line.partition("||")[2].replace("$$", "$")], CI=value).returncode == code


def test_what_ci_runs_says_that_it_is_ci(tmp_path):
    make = tmp_path / "make"
    make.write_text(f'#!{BASH}\necho "CI=$CI make $*"\n')
    make.chmod(0o755)
    done = ran([str(ROOT / ".ci" / "run")], PATH=f"{tmp_path}:{os.environ['PATH']}")
    assert done.stdout == "CI=true make test\n"


def test_in_ci_examples_are_fresh_too_and_none_is_timed():
    words = "import tests.conftest, hypothesis; found = hypothesis.settings(); print(found.derandomize, found.deadline)"
    done = ran(["-c", f"cd {shlex.quote(str(ROOT))} && {shlex.quote(sys.executable)} -c '{words}'"], CI="true")
    assert done.stdout == "False None\n", done.stderr
