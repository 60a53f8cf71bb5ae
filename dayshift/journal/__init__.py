"""The one truth: an append-only chain of records, and what keeps it whole.

Here live bytes, hashes, durability, the single writer, recovery and the audit. What the
records mean is not known here: no module imports `core` or `gates`.
"""
