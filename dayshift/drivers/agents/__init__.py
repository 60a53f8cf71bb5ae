"""How a controller reaches agents: the words both sides speak, and the link.

The agent itself is `dayshift.agent`; a dial behind agents is `dial`.
"""
