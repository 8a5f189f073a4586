"""Celery and penstock on one Redis: their workers, their clients, and what is tried on them."""
