"""PostgreSQL: the pool, transactions, group commit, the schema and its upgrades."""
