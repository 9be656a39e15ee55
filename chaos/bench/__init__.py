"""Bench: what the product costs, side by side with etcd and stock PySyncObj in one run."""
