"""Compiled code that is no queue's, its Python twin, and which of two such is taken."""
