"""Shapes: what of a document a golden file pins where its values differ from run to run.

Only that may live here.
"""

from __future__ import annotations

from typing import Any


def keys_of(document: Any) -> Any:
    """The shape of a document: keys, and the kind of each value; of a list, of its first."""
    if isinstance(document, dict):
        return {key: keys_of(value) for key, value in document.items()}
    if isinstance(document, list):
        return [keys_of(document[0])] if document else []
    return type(document).__name__
