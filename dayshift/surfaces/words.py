"""Numbers, shares, odds and instants as people read them. No decision, no layout."""

from __future__ import annotations

from datetime import UTC, datetime, tzinfo

from dayshift.model.dial import Fence
from dayshift.model.units import percent

UNKNOWN = "–"
ODDS_MAX_MLOG10 = 6_000
"""Beyond a million to one, further digits tell a person nothing."""
RATIO_MAX = 1_000
ABOUT = (
    (20_000, 1_000),
    (120_000, 5_000),
    (600_000, 30_000),
    (5_400_000, 60_000),
    (86_400_000, 900_000),
)
"""Guesses below the first are told in steps of the second, milliseconds."""


def share(share_bp: int | None) -> str:
    """`25.00 %`, or a dash where nobody knows."""
    return UNKNOWN if share_bp is None else percent(share_bp)


def short_share(share_bp: int) -> str:
    """A planned share without needless digits: `25 %`, `0.5 %`."""
    return f"{share_bp / 100:g} %"


def per_second(mrps: int) -> str:
    """Requests per second from thousandths: `92.5`, `1,240`."""
    value = mrps / 1000
    return f"{value:,.1f}" if value < 1000 else f"{value:,.0f}"


def error_rate(error_ppm: int) -> str:
    """`0 %`, `0.04 %`, `5.10 %`; never 0 for something that happened."""
    if not error_ppm:
        return "0 %"
    if error_ppm < 100:
        return "<0.01 %"
    return f"{error_ppm / 10_000:.2f} %"


def rate(bad: int, all_of_them: int) -> str:
    """A part of counted requests: `0 %`, `0.0042 %`, `0.25 %`, `14.6 %`."""
    if not bad or not all_of_them:
        return "0 %"
    value = 100 * bad / all_of_them
    if value < 0.001:
        return "<0.001 %"
    return f"{value:.2g} %" if value < 1 else f"{value:.3g} %"


def ratio(ppm: int) -> str:
    """How many times: `0`, `0.85`, `1.4`, `12`."""
    if not ppm:
        return "0"
    value = ppm / 1_000_000
    if value > RATIO_MAX:
        return f"over {RATIO_MAX:,}"
    if value >= 9.95:
        return f"{value:,.0f}"
    if value >= 0.995:
        return f"{value:.1f}"
    return f"{value:.2f}" if value >= 0.01 else "<0.01"


def about(ms: int) -> str:
    """A duration that is only a guess, in steps coarse enough not to flicker."""
    if ms <= 0:
        return "no"
    for below_ms, step_ms in ABOUT:
        if ms < below_ms:
            return span(-(-ms // step_ms) * step_ms)
    return "more than a day"


def took(us: int) -> str:
    """A latency: `800 µs`, `12 ms`, `1.25 s`; a dash where nothing was timed."""
    if us <= 0:
        return UNKNOWN
    if us < 1_000:
        return f"{us} µs"
    if us < 1_000_000:
        return f"{us / 1000:.3g} ms"
    return f"{us / 1_000_000:.3g} s"


def span(ms: int) -> str:
    """A duration in whole units, calm enough to tick: `4 s`, `2 min 05 s`, `3 h`."""
    if ms < 0:
        return f"-{span(-ms)}"
    seconds = ms // 1000
    if seconds < 60:
        return f"{seconds} s"
    minutes, seconds = divmod(seconds, 60)
    if minutes < 60:
        return f"{minutes} min {seconds:02d} s" if seconds else f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {minutes:02d} min" if minutes else f"{hours} h"
    days, hours = divmod(hours, 24)
    return f"{days} d {hours} h" if hours else f"{days} d"


def exact(ms: int | None) -> str:
    """A measured duration, with the digits it has: `38 ms`, `3.21 s`, `2 min 05 s`."""
    if ms is None:
        return UNKNOWN
    if ms < 1_000:
        return f"{ms} ms"
    return f"{ms / 1000:.2f} s" if ms < 60_000 else span(ms)


def odds(mlog10: int) -> str:
    """Evidence in milli-log10 as odds to one: 2000 → `100:1`."""
    if mlog10 <= 0:
        return "1:1"
    if mlog10 > ODDS_MAX_MLOG10:
        return "over 1,000,000:1"
    value = 10 ** (mlog10 / 1000)
    return f"{value:.1f}:1" if value < 9.95 else f"{round(value):,}:1"


def clock(wall_ms: int, zone: tzinfo | None = None) -> str:
    """Local time of day: `14:02:07`. `zone` None is the machine's own."""
    return _local(wall_ms, zone).strftime("%H:%M:%S")


def both(wall_ms: int, zone: tzinfo | None = None) -> str:
    """Local time and UTC: `14:02:07 CET · 13:02:07 UTC`; once where both are UTC."""
    local = _local(wall_ms, zone)
    utc = local.astimezone(UTC).strftime("%H:%M:%S UTC")
    if not local.utcoffset():
        return utc
    return f"{local.strftime('%H:%M:%S %Z')} · {utc}"


def dated(wall_ms: int, zone: tzinfo | None = None) -> str:
    """With the day: `2026-11-24 14:02:07 CET · 13:02:07 UTC`."""
    return f"{_local(wall_ms, zone).strftime('%Y-%m-%d')} {both(wall_ms, zone)}"


def day(wall_ms: int, zone: tzinfo | None = None) -> str:
    """The local day: `2026-11-24`."""
    return _local(wall_ms, zone).strftime("%Y-%m-%d")


def _local(wall_ms: int, zone: tzinfo | None) -> datetime:
    return datetime.fromtimestamp(wall_ms / 1000, UTC).astimezone(zone)


def many(count: int, one: str, more: str = "") -> str:
    """`1 request`, `2 requests`, `1,234 requests`."""
    return f"{count:,} {one if count == 1 else more or one + 's'}"


FENCES = {
    Fence.DEVICE: "fenced",
    Fence.MACHINE: "fenced by a lock of this machine: controllers on it only",
    Fence.NONE: "NOT fenced: one controller only",
}


def fence(reach: Fence) -> str:
    """How far a dial's fence reaches."""
    return FENCES[reach]
