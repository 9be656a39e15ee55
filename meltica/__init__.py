"""Meltica: a highly available trading appliance."""
