"""Exchanges, each behind the one face in `base`."""
