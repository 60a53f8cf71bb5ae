"""Routers of the network lab: a BIRD in each region, an FRR and a BIRD as transit.

Every region announces every region's prefix, its own as the best: where one is taken
out, its prefix leads to the next. Only configurations and how they are started.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from dayshift.lab import processes
from dayshift.lab.network import spec as layout
from dayshift.lab.network.spec import PREFIXES, REGIONS, NetSpec

TRANSIT_AS = 65000
FRR_OWNER = ("frr", "frrvty")
FRR_DAEMONS = ("zebra", "bgpd", "bfdd")
BFD_MS, BFD_TIMES = 300, 5
"""Seconds, not the tenths of real routers: a busy machine must not look like a cut."""
READY_S = 60.0
END_GRACE_S = 5.0
DEFINES = """\
define DAYSHIFT_MARK = "unclaimed {row}";
define DAYSHIFT_ANNOUNCE = 1;
define DAYSHIFT_LEAVING = 0;
"""
SPEAKER = """\
router id {router_id};
include "{defines}";
protocol device {{}}
{bfd}
protocol static anycast {{ ipv4; {routes} }}
filter announced {{
  if DAYSHIFT_ANNOUNCE = 0 then reject;
  if DAYSHIFT_LEAVING = 1 then bgp_community.add((65535, 0));
{distances}
  accept;
}}
{sessions}
"""
SESSION = """\
protocol bgp {name} {{
  local {near} as {own};
  neighbor {far} as {their};
  hold time 30;
  error wait time 1, 10;
  connect retry time 2;
  bfd on;
  ipv4 {{ import {imports}; export {exports}; }};
}}
"""
BFD = f"""protocol bfd {{
  interface "*" {{ interval {BFD_MS} ms; multiplier {BFD_TIMES}; }};
}}"""
TRANSIT_BIRD = """\
router id 10.0.0.2;
protocol device {{}}
{bfd}
protocol kernel {{ ipv4 {{ import none; export where source = RTS_BGP; }}; }}
filter from_regions {{
  if (65535, 0) ~ bgp_community then bgp_local_pref = 0;
  accept;
}}
{sessions}
"""
TRANSIT_FRR = """\
frr defaults datacenter
no zebra nexthop kernel enable
bfd
 profile lab
  transmit-interval {every}
  receive-interval {every}
  detect-multiplier {times}
 exit
exit
router bgp {own}
 bgp router-id 10.0.0.1
 no bgp ebgp-requires-policy
{neighbours}
 address-family ipv4 unicast
  maximum-paths 1
 exit-address-family
exit
"""


def start(spec: NetSpec) -> None:
    """Start the routers that do not run; `ready` says when they know one another."""
    for region in REGIONS:
        _bird(spec, region, _speaker(spec, region))
    _bird(spec, "t2", _transit_bird())
    _frr(spec)


def ready(spec: NetSpec) -> bool:
    """True when every speaker's sessions stand, and none of them stands alone."""
    return all(
        _asked(birdc(spec, region), "show", "protocols").count("Established") == 2
        for region in REGIONS
    )


def birdc(spec: NetSpec, place: str) -> list[str]:
    return [spec.programs["birdc"], "-s", str(spec.sockets / f"bird-{place}.ctl")]


def vtysh(spec: NetSpec) -> list[str]:
    place = str(_frr_place(spec))
    return [spec.programs["vtysh"], "--vty_socket", place, "--config_dir", place]


def defines(spec: NetSpec, region: str) -> Path:
    """The file that Dayshift replaces."""
    return spec.run / region / "dayshift.conf"


def _bird(spec: NetSpec, place: str, config: str) -> None:
    folder = spec.run / place
    (folder / "bird.conf").write_text(config)
    socket = spec.sockets / f"bird-{place}.ctl"
    argv = [spec.programs["bird"], "-f", "-c", str(folder / "bird.conf")]
    argv += ["-s", str(socket), "-P", str(spec.sockets / f"bird-{place}.pid")]
    processes.start(spec.run, f"{place}-bird", spec.inside(place, *argv))


def _speaker(spec: NetSpec, region: str) -> str:
    file = defines(spec, region)
    if not file.exists():
        file.write_text(DEFINES.format(row=" ".join(f"{one}=on" for one in REGIONS)))
    return SPEAKER.format(
        router_id=layout.link("t1", region)[1],
        defines=file,
        bfd=BFD,
        routes=" ".join(f"route {one} blackhole;" for one in PREFIXES.values()),
        distances="\n".join(_distances(region)),
        sessions="".join(
            SESSION.format(
                name=transit,
                near=layout.link(transit, region)[1],
                far=layout.link(transit, region)[0],
                own=_as(region),
                their=TRANSIT_AS,
                imports="none",
                exports="filter announced",
            )
            for transit in layout.TRANSITS
        ),
    )


def _distances(region: str) -> list[str]:
    """Every other region's prefix is announced as further away, the next one least."""
    here, lines = REGIONS.index(region), []
    for number, owner in enumerate(REGIONS):
        away = (here - number) % len(REGIONS)
        far = " ".join([f"bgp_path.prepend({_as(region)});"] * 2 * away)
        if away:
            lines.append(f"  if net = {PREFIXES[owner]} then {{ {far} }}")
    return lines


def _transit_bird() -> str:
    sessions = (
        SESSION.format(
            name=region,
            near=layout.link("t2", region)[0],
            far=layout.link("t2", region)[1],
            own=TRANSIT_AS,
            their=_as(region),
            imports="filter from_regions",
            exports="none",
        )
        for region in REGIONS
    )
    return TRANSIT_BIRD.format(bfd=BFD, sessions="".join(sessions))


def _as(region: str) -> int:
    return TRANSIT_AS + layout.ENDS[region]


def _frr_place(spec: NetSpec) -> Path:
    return spec.sockets / "frr"


def _frr(spec: NetSpec) -> None:
    """FRR's daemons, as its own user; then what Debian's service would load."""
    found = [processes.find(spec.run, f"t1-{one}") for one in FRR_DAEMONS]
    alive = [one for one in found if one is not None and processes.alive(one)]
    if len(alive) == len(FRR_DAEMONS):
        return
    processes.end(spec.run, alive, END_GRACE_S)
    place = _frr_place(spec)
    place.mkdir(parents=True, exist_ok=True)
    (place / "vtysh.conf").write_text("service integrated-vtysh-config\n")
    (place / "frr.conf").write_text(_frr_config())
    for path in (place, *place.iterdir()):
        shutil.chown(path, *FRR_OWNER)
    for name in FRR_DAEMONS:
        argv = [spec.programs[name], "-f", f"{place}/none", "-i", f"{place}/{name}.pid"]
        argv += ["--vty_socket", str(place), "-z", f"{place}/zserv.api"]
        argv += ["-A", "127.0.0.1", "-P", "0"]
        argv += ["--bfdctl", f"{place}/bfdd.sock"] if name == "bfdd" else []
        (place / f"{name}.vty").unlink(missing_ok=True)
        processes.start(spec.run, f"t1-{name}", spec.inside("t1", *argv))
        socket = place / f"{name}.vty"
        processes.await_there(f"{name} opens its socket", socket.exists, READY_S)
    _asked(vtysh(spec), "-b")


def _frr_config() -> str:
    lines = []
    for region in REGIONS:
        peer = f" neighbor {layout.link('t1', region)[1]}"
        lines += [
            f"{peer} remote-as {_as(region)}",
            f"{peer} timers 10 30",
            f"{peer} timers connect 2",
            f"{peer} bfd",
            f"{peer} bfd profile lab",
        ]
    return TRANSIT_FRR.format(
        every=BFD_MS, times=BFD_TIMES, own=TRANSIT_AS, neighbours="\n".join(lines)
    )


def _asked(command: list[str], *words: str) -> str:
    done = subprocess.run(
        [*command, *words], capture_output=True, text=True, check=False
    )
    return done.stdout
