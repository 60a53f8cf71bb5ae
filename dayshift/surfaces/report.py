"""stub"""

import msgspec


class SamplePoint(msgspec.Struct, frozen=True):
    wall_ms: int
    service: str
    region: str
    share_bp: int = 0
    mrps: int = 0
    error_ppm: int = 0
    p50_us: int = 0
    p99_us: int = 0
