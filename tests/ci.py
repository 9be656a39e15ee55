"""CI: what becomes of a test that lacks something on this machine.

Only that may live here.
"""

from __future__ import annotations

import os
from typing import NoReturn

import pytest


def lacking(why: object) -> NoReturn:
    """What a test needs is not here, and `why` says what: it is skipped, or, with CI set to anything, it has failed."""
    if os.environ.get("CI"):
        pytest.fail(f"{why}, and in CI it must be here")
    pytest.skip(str(why))
