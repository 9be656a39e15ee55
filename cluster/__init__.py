"""Replication: knows bytes, peers and indexes; knows no trading."""
