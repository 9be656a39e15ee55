"""Abroad: live chaos on a cluster that somebody else deployed."""
