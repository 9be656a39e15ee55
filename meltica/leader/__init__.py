"""What lives and dies with authority: takeover, dispatch, upkeep, the strategy host."""
