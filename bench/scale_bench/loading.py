"""An estate as a file, and what it costs to load it: rows that repeat stand there once
and are named, as anybody would write a thousand regions."""

from __future__ import annotations

import resource
import tempfile
from pathlib import Path

from dayshift.runtime import wiring
from dayshift.runtime.settings.load import load_estate
from scale_bench.measure import Loading
from scale_bench.timing import best_us


def loading(regions: int, services: int) -> Loading:
    """Write the file, then load and check it as every verb does."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "dayshift.yaml")
        path.write_text(text(regions, services))
        load_us, found = best_us(lambda: load_estate(path, wiring.options_of), 1)
        if (len(found.regions), len(found.services)) != (regions, services):
            raise RuntimeError("the file is not the estate that was asked for")
        memory_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return Loading(regions, load_us, path.stat().st_size, memory_kib)


def text(regions: int, services: int) -> str:
    """Every service in every region, behind one split, with two meters and a probe."""
    names = [f"r{number:04d}" for number in range(regions)]
    rows = _rows(names)
    lines = ["estate: scale", "regions:"]
    lines += [f"  {name}: {{title: Place {name}}}" for name in names]
    lines.append("services:")
    for number in range(services):
        shown = {
            key: f"&{key} {row}" if number == 0 else f"*{key}"
            for key, row in rows.items()
        }
        lines += _service(number, shown)
    lines += ["policy:", "  serving: 1", "  drain: [25 %, 0 %]", "  ramp: [1 %, 5 %]"]
    return "\n".join(lines) + "\n"


def _rows(names: list[str]) -> dict[str, str]:
    share, rest = divmod(10_000, len(names))
    shares = {name: share + (rest if name == names[0] else 0) for name in names}
    here = "http://127.0.0.1:19901"
    return {
        "shares": _row({name: f"{one / 100:g} %" for name, one in shares.items()}),
        "capacity": _row(dict.fromkeys(names, "900")),
        "clusters": _row({name: f"region_{name}" for name in names}),
        "entry": _row(
            {name: f'{{admin: "{here}", cluster: region_{name}}}' for name in names}
        ),
        "edge": _row(
            {
                name: f'{{admin: "http://{name}.example:19911", cluster: app}}'
                for name in names
            }
        ),
        "urls": _row({name: f'"http://{name}.example/version"' for name in names}),
    }


def _row(values: dict[str, str]) -> str:
    return "{" + ", ".join(f"{name}: {one}" for name, one in values.items()) + "}"


def _service(number: int, rows: dict[str, str]) -> list[str]:
    instance = f'name: e, rds_file: run/{number}.json, admin: "http://127.0.0.1:19901"'
    return [
        f"  s{number:03d}:",
        f"    shares: {rows['shares']}",
        f"    capacity_rps: {rows['capacity']}",
        "    dials:",
        f"      - name: d{number:03d}",
        "        driver: envoy",
        "        kind: split",
        "        options:",
        "          route_config: entry",
        f"          clusters: {rows['clusters']}",
        f"          instances: [{{{instance}}}]",
        "    meters:",
        "      - {name: entry, side: users, driver: envoy,",
        f"         options: {{regions: {rows['entry']}}}}}",
        "      - {name: edge, side: region, driver: envoy, gate: false,",
        f"         options: {{regions: {rows['edge']}}}}}",
        "    probes:",
        "      - {name: shop, driver: http, options:",
        f"         {{urls: {rows['urls']}, version_field: version}}}}",
    ]
