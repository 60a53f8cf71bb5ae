"""Which meter decides at the gate, for each stream of users. Values only.

Here lives the choice and nothing else: `judging` feeds the gate by it, the plan shows
it, and so nobody is told of another meter than the one that is listened to.
"""

from __future__ import annotations

from dayshift.limits import OBSERVE_MS
from dayshift.model.estate import MeterSpec, Service
from dayshift.model.evidence import Side


def deciding(service: Service) -> dict[str, MeterSpec]:
    """The deciding meter of each stream: the fastest on the users' side, of those that
    may speak at the gate; the first listed of equally fast ones.

    Why: evidence comes no sooner than counts do, and one that is read beside it would
    count the same users twice.
    """
    found: dict[str, MeterSpec] = {}
    for spec in service.meters:
        if spec.side is not Side.USERS or not spec.gate:
            continue
        stream = stream_of(service.name, spec)
        known = found.get(stream)
        if known is None or look_ms(spec) < look_ms(known):
            found[stream] = spec
    return found


def stream_of(service: str, spec: MeterSpec) -> str:
    """`service`, or `service/class` for a meter that counts one class of users."""
    return f"{service}/{spec.users}" if spec.users else service


def look_ms(spec: MeterSpec) -> int:
    """How often a meter has new counts."""
    return spec.every_ms or OBSERVE_MS
