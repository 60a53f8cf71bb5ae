"""The network lab: name servers, routers and load balancers in namespaces of their own.

    users ─┬─ t1 (FRR)  ─┬─ fra: BIRD, HAProxy, application
           └─ t2 (BIRD) ─┼─ ber
                         ├─ muc
                         └─ dns: PowerDNS       (unbound stands with the users)

Here: building it, starting its daemons, its users, and taking all of it down again.
Needs root and Linux. Not here: any decision about traffic; that is Dayshift's.
"""
