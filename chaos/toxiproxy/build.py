"""Build: the Toxiproxy server on this machine: the one version, built with Go into `.tools/`, which is not committed.

Only what touches that file may live here.  A binary that is there is looked at every time: it says itself of which
module, version and content it was built (`go version -m`; the same text stands in it, for machines without Go).
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]
TOOLS: Final = ROOT / ".tools"
SERVER: Final = TOOLS / "toxiproxy-server"
MODULE: Final = "github.com/Shopify/toxiproxy/v2"
VERSION: Final = "v2.12.0"
SUM: Final = "h1:d1x++lYZg/zijXPPcv7PH0MvHMzEI5aX/YuUi/Sw+yg="  # of the module's content, as Go counts it
MADE_OF: Final = f"mod\t{MODULE}\t{VERSION}\t{SUM}\n"
BUILD_WITHIN: Final = 900  # seconds; about one minute with the modules at hand
LOOK_WITHIN: Final = 60  # seconds, for Go to say what a file was built of; a hundredth of one does


class Missing(Exception):
    """The server is not on this machine, or is another one; the text says what to do."""


def why_not_here() -> str:
    """Why there is none and none can be built, or ""; builds nothing."""
    if SERVER.exists() or shutil.which("go") is not None:
        return ""
    return (
        f"live chaos goes through the Toxiproxy server, which is built with Go: install Go 1.23 or later (go.dev/dl) "
        f"and run `make tools`, or put a server of {MODULE} {VERSION} into .tools/ as {SERVER.name}"
    )


def server() -> Path:
    """The checked server, built if it is not there yet.

    Raises:
        Missing: it can't be had, or it is another one.
    """
    why = why_not_here()
    if why:
        raise Missing(why)
    if not SERVER.exists():
        _build()
    return checked()


def checked() -> Path:
    """The server that is there, if it is the one that we mean.

    Raises:
        Missing: there is none, or it is another one.
    """
    if not SERVER.exists():
        raise Missing(why_not_here() or "the Toxiproxy server is not built: run `make tools`")
    if MADE_OF not in _made_of(SERVER):
        raise Missing(f".tools/{SERVER.name} was not built of {MODULE} {VERSION}: remove it, then run `make tools`")
    return SERVER


def _made_of(binary: Path) -> str:
    """What it was built of, a fact a line.  An element of `go version -m` is indented; nothing is, in the binary."""
    go = shutil.which("go")
    if go is None:
        return binary.read_bytes().decode("latin-1")
    command = [go, "version", "-m", str(binary)]
    try:
        done = subprocess.run(  # noqa: S603 - Go, on the file that we are to start
            command, capture_output=True, text=True, timeout=LOOK_WITHIN, check=False
        )
    except subprocess.TimeoutExpired as late:
        raise Missing(f"`{' '.join(command)}` did not answer within {LOOK_WITHIN} s: try again") from late
    return done.stdout.replace("\n\t", "\n")


def _build() -> None:
    """By Go's own client; moved into place whole, so that a build that is broken off leaves nothing."""
    TOOLS.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=TOOLS) as half:
        command = ["go", "install", f"{MODULE}/cmd/server@{VERSION}"]
        try:
            done = subprocess.run(  # noqa: S603 - Go, to build one pinned module
                command,
                env={**os.environ, "GOBIN": half},
                cwd=half,  # no module of ours has a say
                capture_output=True,
                text=True,
                timeout=BUILD_WITHIN,
                check=False,
            )
        except subprocess.TimeoutExpired as late:
            raise Missing(f"Go did not build {MODULE} {VERSION} within {BUILD_WITHIN} s") from late
        built = Path(half) / "server"
        if not built.exists():
            said = (done.stdout + done.stderr)[-600:].strip()
            raise Missing(f"Go could not build {MODULE} {VERSION} (Go 1.23 or later is needed): {said}")
        built.replace(SERVER)
