"""Probes: requests of our own, marked, straight at one region. A bad answer is an
answer; only the caller decides what it means."""
