"""The agent: one on each machine that has sockets, between controllers and devices.

It compares fences and claims, keeps dead-man leases, asks its own guards, and runs the
same dial drivers as a controller would. It decides nothing about a run, has no shell,
and imports neither the core nor anything of the web.
"""
