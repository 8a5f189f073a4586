"""Queues between threads, and queues and pipes between processes, usable alone."""
