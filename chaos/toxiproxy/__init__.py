"""Toxiproxy: its server, built and started by us, and a thin checked face over its Python client."""
