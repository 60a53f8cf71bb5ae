"""What dials that announce anycast routes share: marks, layers, the order of a write.

Each region has speakers of its own; a speaker announces the region's routes or not.
Here: the mark that a speaker keeps, the order in which several speakers are written,
what transit routers show of them. Not here: how any one daemon is written to.
"""
