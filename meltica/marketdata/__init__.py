"""Market data: books, their staleness, and recorded tapes."""
