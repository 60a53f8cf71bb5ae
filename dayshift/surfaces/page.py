"""The report as one HTML file: no script, no outside resource, nothing unescaped.

Words and geometry come from the other modules; the template only places them.
"""

from __future__ import annotations

from datetime import tzinfo

from jinja2 import Environment, PackageLoader, StrictUndefined

from dayshift.surfaces import charts, gate_charts, phrases, words
from dayshift.surfaces.felt import tell_users
from dayshift.surfaces.report import RunReport


def html(report: RunReport, zone: tzinfo | None = None) -> str:
    """The whole page. `zone` None is the zone of the machine that renders it."""
    page = _environment(zone).get_template("report.html")
    scale = charts.scale_of(report)
    return page.render(
        r=report,
        felt=tell_users(report.users, zone) if report.users is not None else None,
        charts=charts.charts(report),
        strips=charts.strips(report),
        gates=gate_charts.gate_charts(report),
        ticks=scale.ticks(),
        wide=charts.WIDE,
        high=charts.HIGH,
        colours={name: n % charts.COLOURS for n, name in enumerate(report.regions)},
    )


def _environment(zone: tzinfo | None) -> Environment:
    env = Environment(
        loader=PackageLoader("dayshift.surfaces"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    env.filters.update(
        clock=lambda ms: words.clock(ms, zone),
        dated=lambda ms: words.dated(ms, zone),
        share=words.share,
        short_share=words.short_share,
        span=words.span,
        exact=words.exact,
        counted=phrases.counted,
    )
    return env
