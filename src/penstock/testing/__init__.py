"""What test suites (ours, and those of other brokers and applications) build on."""
