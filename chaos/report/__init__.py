"""Reports: what was done to a cluster, what trading did meanwhile, and what the checks found, as one page."""
