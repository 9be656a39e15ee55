"""Sim: the cluster in one process, on virtual time, from a seed."""
