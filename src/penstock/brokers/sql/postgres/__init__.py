"""The SQL of the broker on PostgreSQL, one file for each subject."""
