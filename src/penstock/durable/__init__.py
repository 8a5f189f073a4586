"""Durable queues for plain Python data, on any broker: what `open_queue` gives."""
