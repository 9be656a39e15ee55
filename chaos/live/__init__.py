"""Live chaos: real processes behind a real Toxiproxy, struck by a plan, judged by what the venue saw."""
