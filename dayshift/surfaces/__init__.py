"""Renderings of one story: what a run did, does and waits for, for every reader.

`story` tells it from state, sight, decision and events; `plain`, `terminal` and `page`
only render. Everything here reads and nothing moves: no driver, no journal, no clock.
"""
