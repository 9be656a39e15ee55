"""The HTTP control API of a node."""
