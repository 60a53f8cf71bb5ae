"""How a controller reaches agents: the words both sides speak, and the link.

The agent itself is `dayshift.agent`; what its answers mean is `drivers.dials.remote`.
"""
