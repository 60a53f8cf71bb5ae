"""Dayshift takes a region out of live traffic, proves it empty, lets it be maintained,
and returns its traffic under a statistical gate, region after region."""

__version__ = "0.1.0"
