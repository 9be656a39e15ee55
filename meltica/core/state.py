"""State: being written; see the brief for its fields."""


class State:
    """Placeholder for minutes."""
