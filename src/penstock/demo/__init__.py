"""A shop under attack: tasks run while executors and workers are killed, then all is counted."""
