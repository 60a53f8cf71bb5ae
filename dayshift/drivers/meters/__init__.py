"""Meters: cumulative counts from one source. What cannot be read raises; never zero."""
