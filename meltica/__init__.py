"""Meltica: a highly available trading appliance."""

__version__ = "0.1.0"  # the same as in pyproject.toml; a test compares them
