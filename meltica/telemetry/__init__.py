"""Metrics and logs; passed in, never global."""
