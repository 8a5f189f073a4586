"""The SQL of the PostgreSQL engine: what its schema holds, and result records."""
