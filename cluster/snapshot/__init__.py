"""Snapshots: a node's state at one index, sent to a follower that the log does not reach any more.

The rooms here are pure: they decide what is said and staged, over the disk's face (`faces`).  See ../DESIGN.md,
"Snapshots".
"""
