"""Rig: a cluster of real processes on this machine, for whatever starts, asks, strikes and judges one."""
