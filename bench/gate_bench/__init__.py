"""The gate's benchmark: a simulator, the peers, and the table. No judge of ours."""
