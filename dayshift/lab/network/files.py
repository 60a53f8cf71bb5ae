"""The estate and change files of the network lab, written for people.

Only rendering. All three layers are there: the name, the routes, the edges.
"""

from __future__ import annotations

from collections.abc import Callable

from dayshift.lab.network import edges, names, routers
from dayshift.lab.network import spec as layout
from dayshift.lab.network.spec import ADDRESSES, NAME, PREFIXES, REGIONS, ZONE, NetSpec

_ESTATE = """\
# The estate of the network lab: three regions behind a name, anycast routes and edges.
estate: network-lab
regions:
{regions}
services:
  shop:
    shares: {{fra: 50 %, ber: 25 %, muc: 25 %}}
    capacity_rps: {{fra: 900, ber: 900, muc: 900}}
    dials:                      # from the user inwards
      - name: dns               # which addresses users are given
        driver: powerdns
        kind: split
        options:
          zone: {zone}
          name: {name}
          addresses: {{{addresses}}}
          ttl: {ttl} s
          ttl_low: {ttl_low} s
          api_key: file:dns.key
          authorities:
            - {{name: ns1, address: {dns}, api: "{api}"}}
          resolvers:            # the one that the users ask
            - {{name: users, address: {resolver}}}
      - name: anycast           # where these addresses lead; without their own region
        driver: bird            # they lead to the next one
        kind: switch
        options:
          regions: [{names}]
          prefixes: [{prefixes}]
          speakers:
{speakers}
          peers:                # ecmp: false, each prefix leads to one region at a time
            - name: t1
              kind: frr
              ecmp: false
              command: [{vtysh}]
              kernel: [{ip}, -n, {t1}]
            - name: t2
              kind: bird
              ecmp: false
              command: [{birdc}]
              kernel: [{ip}, -n, {t2}]
          shut_pause: 200 ms    # a small network: both routers know the other ways
      - name: edge              # who serves what arrives, at every region's HAProxy
        driver: haproxy
        kind: split
        options:
          map: {{{backends}}}
          instances:
{instances}
    meters:
      - name: entry             # the users' side: what all edges sent to a region
        side: users
        driver: haproxy
        options:
          regions:
{entries}
      - name: region            # the region's own side, with our probes counted apart
        side: region
        driver: haproxy
        gate: false             # proves empty, does not judge
        options:
          regions:
{inners}
{flows}
    probes:
      - name: shop
        driver: http
        options:
          urls:
{urls}
          version_field: version
    residue:
      - {{class: probe, disposition: expected, source: dayshift, ceiling_rpm: 600}}
      - {{class: app, disposition: expected, source: our probes, ceiling_rpm: 600}}
# These are DEMO VALUES: they finish in minutes and see only gross harm. A real estate
# soaks for minutes, allows a smaller blast radius and learns its calibration.
policy:
  serving: 2                    # regions that must keep serving each service
  headroom: 85 %
  drain: [0 %]
  drain_dwell: 1 s
  connections_limit: {limit} s      # so long after the name, the routes go in any case
  ramp: [2 %, 10 %, 50 %]
  soak: 5 s
  quiet: 4 s
  fresh: 4 s
  empty_limit: 3 min
  probe_streak: 3
  blind_limit: 1 min
  absence_limit: 30 min
  return_time: 2 min
  lease: 60 s
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
    warmup: 0 s
    # Shipped with the lab and trusted: its three regions are one machine.
    calibration: {{trusted: true, dispersion: 1.0, variation: 0.0}}
"""

_SPEAKER = """\
            - name: {region}
              region: {region}
              file: {file}
              command: [{birdc}]
              ipv4: [t1, t2]
              next_hops: [{hops}]"""

_FLOWS = """\
      - name: flows-{region}         # who is still connected to the region's edge
        side: region
        driver: ss
        gate: false
        connections: true       # a drain lets them end before the routes go
        regions: [{region}]
        options:
          command: [{ss}, -N, {space}, -t, -n, -o, -i, -H, state, established]
          regions:
            {region}:           # `app` is moved by our probes when no user is left
              ways: ["*:80", "*:443", "127.0.0.1:{app}"]
              classes: {{app: [127.0.0.0/8]}}"""

_CHANGE = """\
change: shop-{version}
reason: upgrade the shop to version {version}
ticket: LAB-1
regions:
{regions}
steps:                          # for every region above that lists none of its own
  - name: upgrade               # stop, replace and start the application of the region
    worker: command
    interrupt: never            # between | signal | never
    limit: 2 min
    options:
      argv: [{upgrade}, "{dir}", "{version}"]
      check: [{upgrade}, "{dir}", --check, "{version}"]
      undo: [{upgrade}, "{dir}", "1"]
"""
LOW_TTL_S = 5
CONNECTION_S = 75
"""Longer than the users' longest connection, begun with the last cached answer."""


def write(spec: NetSpec) -> None:
    """Write `dayshift.yaml` and `change.yaml`."""
    spec.path("dayshift.yaml").write_text(_estate(spec))
    spec.path("change.yaml").write_text(
        _CHANGE.format(
            version="2",
            upgrade=f'"{spec.python}", -m, dayshift.lab.network.upgrade',
            dir=spec.dir,
            regions=_lines(lambda one: f'  - region: {one}\n    expect_version: "2"'),
        )
    )


def _estate(spec: NetSpec) -> str:
    sockets = {one: edges.socket(spec, one) for one in REGIONS}
    return _ESTATE.format(
        regions=_lines(lambda one: f"  {one}: {{title: {layout.TITLES[one]}}}"),
        zone=ZONE,
        name=NAME,
        addresses=", ".join(f"{n}: [{', '.join(a)}]" for n, a in ADDRESSES.items()),
        ttl=spec.ttl_s,
        limit=spec.ttl_s + CONNECTION_S,
        ttl_low=min(LOW_TTL_S, spec.ttl_s),
        dns=spec.managed("dns"),
        api=names.api(spec),
        resolver=spec.managed("users"),
        names=", ".join(REGIONS),
        prefixes=", ".join(PREFIXES.values()),
        speakers=_lines(lambda one: _speaker(spec, one)),
        vtysh=", ".join(routers.vtysh(spec)),
        ip=spec.programs["ip"],
        t1=spec.space("t1"),
        t2=spec.space("t2"),
        birdc=", ".join(routers.birdc(spec, "t2")),
        backends=", ".join(f"{one}: be_{one}" for one in REGIONS),
        instances=_lines(
            lambda one: (
                f"            - {{name: {one}, socket: {sockets[one]}, "
                f"file: run/{one}/shares.map}}"
            )
        ),
        entries=_lines(
            lambda one: (
                f"            {one}: {{socket: [{', '.join(sockets.values())}], "
                f"users: be_{one}}}"
            )
        ),
        inners=_lines(
            lambda one: (
                f"            {one}: {{socket: {sockets[one]}, users: served, "
                f"ignored: {{probe: probes}}}}"
            )
        ),
        flows=_lines(lambda one: _flows(spec, one)),
        urls=_lines(
            lambda one: f'            {one}: "{edges.inner(spec, one)}/version"'
        ),
    )


def _lines(of: Callable[[str], str]) -> str:
    """What there is for each region, one after the other."""
    return "\n".join(map(of, REGIONS))


def _flows(spec: NetSpec, region: str) -> str:
    return _FLOWS.format(
        region=region,
        ss=spec.programs["ss"],
        space=spec.space(region),
        app=edges.APP_PORT,
    )


def _speaker(spec: NetSpec, region: str) -> str:
    return _SPEAKER.format(
        region=region,
        file=routers.defines(spec, region).relative_to(spec.dir),
        birdc=", ".join(routers.birdc(spec, region)),
        hops=", ".join(layout.link(one, region)[1] for one in layout.TRANSITS),
    )
