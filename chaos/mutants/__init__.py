"""The product broken on purpose, one rule or hazard at a time, and the checks that must see it."""
