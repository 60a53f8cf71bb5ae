"""Dials: what moves traffic. Each writes one mechanism and reads it back otherwise."""
