"""What dials that steer by DNS share: addresses, questions, authorities, caches.

Here: which addresses a setting stands for, asking an authority or a resolver, and the
order of one write at several authorities. Not here: how any one server is written to.
"""
