"""The operator's own small authority: certificates for controllers and agents.

Here: making and renewing certificates, revoking them, and saying what there is. Not
here: TLS, and whom a running controller or agent believes (`drivers.agents`). A running
process needs none of this; the authority's key lies where neither of them runs.
"""
