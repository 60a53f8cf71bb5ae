"""The words of the files that `dayshift init` writes. They teach, so they are prose.

Only rendering. Everything with EDIT is a guess that the reader must replace.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from dayshift.limits import FULL_BP
from dayshift.model.units import apportion
from dayshift.runtime.settings.units import share_text

DRIVERS = ("envoy",)
"""Dials whose options `init` can write."""

_ESTATE = """\
# yaml-language-server: $schema=.schema/estate.schema.json
#
# The estate: what there is and what it promises itself. It lives in version control
# and rarely changes; what to do in a maintenance is in change.yaml. YAML 1.2, unknown
# keys are errors. `dayshift check` reaches everything that is named here, and moves
# nothing. Lines with EDIT hold guesses.
estate: {estate}

regions:
{regions}

services:
  {service}:                    # what users reach
    # Each region's share while nothing is under maintenance; 100 % in all.
    shares: {{{shares}}}
    # EDIT: requests per second that each region serves at its limit, as measured.
    # A drain that would fill a survivor beyond policy.headroom is refused.
    capacity_rps: {{{capacity}}}

    # What moves the traffic, from the user inwards. Here: one Envoy in front of all
    # regions, which watches a file with its weighted routes (path_config_source).
    dials:
      - name: entry
        driver: envoy
        kind: split             # one row of shares over the regions
        options:
          route_config: entry   # EDIT: the route configuration's name
          clusters: {{{clusters}}}   # EDIT
          instances:            # every Envoy that carries this dial
            - name: entry-1
              rds_file: run/entry-1/rds.json    # EDIT: the file that it watches
              admin: "http://127.0.0.1:9901"    # EDIT: its admin address

    # What counts the traffic. A region is proven empty only when two meters agree that
    # were both seen counting before: one at the users' entry, one in the region.
    meters:
      - name: entry
        side: users
        driver: envoy
        # every: 15 s           # new counts only so often (a scrape): fresh twice that
        # users: web            # it counts one class of users, judged by itself
        options:
          regions:
{users_meters}
      - name: edge
        side: region
        driver: envoy
        gate: false             # proves empty, does not judge the return
        options:
          regions:              # `ignored` names what is not a user: probes, health
{region_meters}

    # How Dayshift itself asks a region whether it serves, before users return to it.
    probes:
      - name: {service}
        driver: http
        options:
          urls:
{urls}
          version_field: version    # where the answer says its version

    # What may still reach a drained region. A class that is not listed holds the run.
    # Dispositions: expected (source, ceiling_rpm), forward, cut (cut_after), accepted
    # (accepted_by, second, expires, ceiling_rpm).
    residue:
      - {{class: probe, disposition: expected, source: dayshift, ceiling_rpm: 600}}

# Work that exactly one region performs: it is released there and taken elsewhere before
# the region is empty. Each command gets the region in its environment.
# duties:
#   nightly:
#     driver: exec
#     options:
#       holder: [./duty, holder]
#       release: [./duty, release]
#       take: [./duty, take]

# Opened before a pass, closed after it: an alert silence, a deploy freeze.
# brackets:
#   alert-silence:
#     driver: exec
#     options:
#       enter: [./silence, on]
#       leave: [./silence, off]
#       read: [./silence, get]      # ends with 0 while it is open

# Whom to call when a run holds, in this order.
# notify:
#   - name: on-call
#     driver: exec
#     escalate: 5 min           # no acknowledgement by then: the next in the list
#     options: {{argv: [./page]}}

policy:
  serving: 1                    # regions that must keep serving each service
  headroom: 85 %                # no survivor is filled beyond this
  drain: [25 %, 0 %]            # stops on the way out: shares of all traffic
  drain_dwell: 10 s             # pause on each stop
  ramp: [1 %, 5 %, 25 %, 50 %]  # rungs on the way back, each judged by the gate
  soak: 10 min                  # watch at the full share before it is done
  quiet: 30 s                   # this much silence proves a region empty
  fresh: 3 s                    # an older reading proves nothing
  empty_limit: 15 min           # not empty by then: hold, and say who still comes
  probe_streak: 5               # good probes in a row before users return
  blind_limit: 2 min            # blind for longer: back to the last proven rung
  absence_limit: 24 h           # by when a region must be back (paged at half of it)
  return_time: 1 min            # EDIT: how long it takes until it could serve again
  lease: 30 s                   # a drain that nobody renews reverts after this
  approvals: 0                  # people other than the author who approve a plan
  override_second_person: true  # overriding a guard takes two
  gate:
    blast_radius: 0.1 %         # of all traffic, this much may be harmed
    slow_blast_radius: 1 %
    absolute_errors: 10 %       # more errors are bad, whatever the others do
    rollback_odds: 100          # 100 to 1 that it is worse: back
    promote_odds: 20            # 20 to 1 that it is not: on
    dwell: 3 min                # least time on a rung
    horizon: 5 min
    harm_requests: 50
    tolerated_ratio: 1.1
    slow: [250 ms, 1 s]         # EDIT: answers slower than these are judged; without
                                # it, the bounds that `gate calibrate` chose
    warmup: 105 s               # after each rung, cold caches may be slow for so long
    # gauges:                   # levels that hold the ramp, as meters name them
    #   - {{name: queue, most: 100, trend: 30 min}}
    # Until it is trusted, the gate holds and calls you instead of rolling back.
    calibration: {{trusted: false, dispersion: 1.0, variation: 0.0}}
"""

_CHANGE = """\
# yaml-language-server: $schema=.schema/change.schema.json
#
# A change: what to do in each region, one region after the other. Try it first:
#   dayshift plan change.yaml        the whole run, before anything moves
#   dayshift run change.yaml         do it; the same command goes on after a crash
change: {service}-2
reason: upgrade {service} to version 2      # EDIT: stands in the report
ticket: ""                      # where it was asked for

# Every region is named, in the order of the work; there are no wildcards.
regions:
{regions}

# For every region above that lists no steps of its own. A command is a list of words,
# never a line for a shell, and finds region and change in its environment.
steps:
  - name: upgrade
    worker: command             # or `person`, for what a human does
    interrupt: between          # between | signal | never: when it may be stopped
    limit: 30 min
    options:
      argv: [./upgrade, "2"]            # EDIT
      check: [./upgrade, check, "2"]    # ends with 0 if it is done already
      undo: [./upgrade, "1"]            # without `undo` a step is a one-way door
"""


def estate_text(estate: str, regions: Sequence[str], service: str) -> str:
    """The text of `dayshift.yaml`."""
    shares = apportion(FULL_BP, dict.fromkeys(regions, 1))
    return _ESTATE.format(
        estate=estate,
        service=service,
        regions=_lines(f"  {one}: {{title: {one}}}" for one in regions),
        shares=", ".join(f"{one}: {share_text(shares[one])}" for one in regions),
        capacity=", ".join(f"{one}: 1000" for one in regions),
        clusters=", ".join(f"{one}: region_{one}" for one in regions),
        users_meters=_lines(
            f'            {one}: {{admin: "http://127.0.0.1:9901", '
            f"cluster: region_{one}}}   # EDIT"
            for one in regions
        ),
        region_meters=_lines(
            f'            {one}: {{admin: "http://edge.{one}.example:9901", '
            f"cluster: app, ignored: {{probe: app_probe}}}}   # EDIT"
            for one in regions
        ),
        urls=_lines(
            f'            {one}: "http://edge.{one}.example/version"   # EDIT'
            for one in regions
        ),
    )


def change_text(regions: Sequence[str], service: str) -> str:
    """The text of `change.yaml`."""
    named = (f'  - region: {one}\n    expect_version: "2"' for one in regions)
    return _CHANGE.format(service=service, regions=_lines(named))


def _lines(found: Iterable[str]) -> str:
    return "\n".join(found)
