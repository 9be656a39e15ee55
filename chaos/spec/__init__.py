"""The specification of authority, run: what is checked, how TLC is asked, what its answer means."""
