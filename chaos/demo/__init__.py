"""The demo: four real processes, a kill, a promote, and a verdict."""
