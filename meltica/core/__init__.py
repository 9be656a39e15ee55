"""The pure state machine: no clock, no randomness, no file, no thread, no float in a money path."""
