"""The SQL of the brokers, one folder for each engine."""
