"""The C core, and the Python twin that takes over where it cannot be compiled."""
