"""Storm: replication alone under faults, by hand: `python -m chaos.storm wild 0:100 [NODES]`."""
