"""Pure checks over what the venue saw and what the nodes recorded."""
