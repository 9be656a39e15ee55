"""Breaks the appliance on purpose, and checks what came of it."""
