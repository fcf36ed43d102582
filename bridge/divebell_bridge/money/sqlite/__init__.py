"""The ledger in a SQLite file that many processes share."""
