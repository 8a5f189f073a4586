"""Brokers: custody of messages until they are settled."""
