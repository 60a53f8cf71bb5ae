"""The estate and change files of the lab, with the demo's policy written out.

Only rendering. These files are what a newcomer reads first, so they are written for
people, with their comments, not dumped from a model.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dayshift.lab.estate import LabSpec, ManySpec

_ESTATE = """\
# The estate of the lab: two regions behind one global Envoy, all on this machine.
estate: lab
regions:
  fra: {{title: Frankfurt}}
  ber: {{title: Berlin}}
services:
  shop:
    shares: {{fra: 50 %, ber: 50 %}}
    capacity_rps: {{fra: 900, ber: 900}}
    dials:                      # from the user inwards
      - name: entry
        driver: envoy
        kind: split
{reached}    meters:
      - name: entry             # the users' side: what the global Envoy counts
        side: users
        driver: envoy
        options:
          regions:
            fra: {{admin: "{admin}", cluster: region_fra}}
            ber: {{admin: "{admin}", cluster: region_ber}}
      - name: edge              # the region's own side, with our probes counted apart
        side: region
        driver: envoy
        gate: false             # proves empty, does not judge
        options:
          regions:
            fra:
              admin: "{fra_admin}"
              cluster: app
              ignored: {{probe: app_probe}}
              access_log: run/fra/access.log    # tells who still comes, if anybody
            ber:
              admin: "{ber_admin}"
              cluster: app
              ignored: {{probe: app_probe}}
              access_log: run/ber/access.log
    probes:
      - name: shop
        driver: http
        options:
          urls: {{fra: "{fra}/version", ber: "{ber}/version"}}
          version_field: version
    residue:
      - {{class: probe, disposition: expected, source: dayshift, ceiling_rpm: 600}}
duties:
  nightly:                      # the job that exactly one region may run
    driver: exec
    options:
      holder: ["{bin}/duty", holder]
      release: ["{bin}/duty", release]
      take: ["{bin}/duty", take]
brackets:
  alert-silence:
    driver: exec
    options:
      enter: ["{bin}/silence", enter]
      leave: ["{bin}/silence", leave]
      read: ["{bin}/silence", read]
notify:
  - name: on-call               # pages land in run/pages.log
    driver: exec
    escalate: 5 min
    options:
      argv: ["{bin}/page", send]
      ack: ["{bin}/page", ack]
# These are DEMO VALUES: they finish in two minutes and see only gross harm. A real
# estate soaks for minutes, allows a smaller blast radius and learns its calibration.
policy:
  serving: 1                    # regions that must keep serving each service
  headroom: 85 %
  drain: [25 %, 0 %]
  drain_dwell: 1 s
  ramp: [1 %, 5 %, 25 %, 50 %]
  soak: 6 s
  quiet: 3 s
  fresh: 3 s
  empty_limit: 2 min
  probe_streak: 5
  blind_limit: 30 s
  absence_limit: 30 min
  return_time: 1 min
  lease: 30 s
  approvals: 0
  override_second_person: false
  gate:
    blast_radius: 1 %           # this much of all traffic may be harmed, no more
    slow_blast_radius: 1 %
    absolute_errors: 2 %
    rollback_odds: 100
    promote_odds: 20
    dwell: 0 s                  # no minimum time on a rung
    horizon: 5 min
    harm_requests: 50
    tolerated_ratio: 1.1
    slow: [100 ms, 250 ms]
    warmup: 0 s                 # slow answers count from the first
    # Shipped with the lab and trusted: its two regions are one machine.
    calibration: {{trusted: true, dispersion: 1.0, variation: 0.0}}
"""

_HERE = """\
        options:
          route_config: entry
          clusters: {{fra: region_fra, ber: region_ber}}
          instances:
            - {{name: global, rds_file: run/global/rds.json, admin: "{admin}"}}
"""

_BY_AGENT = (
    "        agents: [edge]          # beside the Envoy; its agent.yaml has more\n"
)

_MANY = """\
agents:
  edge:
    place: {agent_place}
    url: "https://127.0.0.1:{agent}"
    ca: ca/ca.pem
    revoked: ca/revoked.pem
    cert: ca/controller-lab.pem
    key: ca/controller-lab.key
journal:
  driver: etcd
  options: {{endpoints: [{endpoints}], lease: 3 s}}
  members: {{{members}}}
controllers: {{{controllers}}}
"""

_AGENT = """\
# The agent beside the global Envoy: fence, dead-man lease, guards of its own.
name: edge
estate: lab
listen: 127.0.0.1:{agent}
state: run/agent
tls: {{ca: ca/ca.pem, cert: ca/agent-edge.pem, key: ca/agent-edge.key,
      revoked: ca/revoked.pem}}
dials:
  entry:
    driver: envoy
    options:
      route_config: entry
      clusters: {{fra: region_fra, ber: region_ber}}
      instances:
        - {{name: global, rds_file: run/global/rds.json, admin: "{admin}"}}
    regions: [fra, ber]
    never_zero_together: [[fra, ber]]
"""

_CHANGE = """\
change: shop-{version}
reason: upgrade the shop to version {version}
ticket: LAB-1
regions:
  - region: fra
    expect_version: "{version}"
  - region: ber
    expect_version: "{version}"
steps:                          # for every region above that lists none of its own
  - name: upgrade               # stop, replace and start the applications of the region
    worker: command
    interrupt: never            # between | signal | never
    limit: 1 min
    options:
      argv: ["{python}", -m, dayshift.lab.upgrade, "{dir}", "{version}"]
      check: ["{python}", -m, dayshift.lab.upgrade, "{dir}", --check, "{version}"]
      undo: ["{python}", -m, dayshift.lab.upgrade, "{dir}", "1"]
"""


def write(spec: LabSpec) -> None:
    """Write `dayshift.yaml`, `change.yaml`, `change-bad.yaml`, and `agent.yaml`."""
    admin = _url(spec.admin)
    spec.path("dayshift.yaml").write_text(
        _ESTATE.format(
            admin=admin,
            reached=_BY_AGENT if spec.many else _HERE.format(admin=admin),
            bin=spec.path("bin"),
            fra=_url(spec.region("fra").edge),
            ber=_url(spec.region("ber").edge),
            fra_admin=_url(spec.region("fra").admin),
            ber_admin=_url(spec.region("ber").admin),
        )
        + (_places(spec.many) if spec.many else "")
    )
    if spec.many:
        agent = _AGENT.format(agent=spec.many.agent, admin=admin)
        spec.path("agent.yaml").write_text(agent)
    for name, version in (("change", "2"), ("change-bad", "2-bad")):
        text = _CHANGE.format(version=version, python=spec.python, dir=spec.dir)
        spec.path(f"{name}.yaml").write_text(text)


def _places(many: ManySpec) -> str:
    return _MANY.format(
        agent=many.agent,
        agent_place=many.members[-1].place,
        endpoints=", ".join(f'"{_url(one.client)}"' for one in many.members),
        members=", ".join(f"{one.name}: {one.place}" for one in many.members),
        controllers=", ".join(f"{n}: {place}" for n, place in many.controllers.items()),
    )


def _url(port: int) -> str:
    return f"http://127.0.0.1:{port}"
