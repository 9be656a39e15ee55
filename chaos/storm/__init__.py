"""Storm: replication alone under faults: `meltica-chaos sim --profile cluster`; by hand `python -m chaos.storm`."""
