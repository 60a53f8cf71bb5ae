"""What `bench/scale.py` is made of: estates of any size, runs in them, measurements.

The world here obeys at once and is made of sights: what is measured is the core.
"""
