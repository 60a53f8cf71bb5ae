"""Every bound in one place, with the relations between them asserted.

A bound that two modules must agree on lives here and nowhere else.
"""

from __future__ import annotations

FULL_BP = 10_000
"""All of the traffic, in basis points."""

REGIONS_MAX = 1_000
SERVICES_MAX = 256
DIALS_MAX = 256
RUNGS_MAX = 32
STEPS_MAX = 256
NAME_LENGTH_MAX = 63
FILE_BYTES_MAX = 4_194_304
PLACES_MAX = 100_000
"""Services times regions: what `bench/scale.py` proves."""
FILE_WRITTEN_MAX = 300_000
"""Keys and values as they are written: reading a file stays a matter of seconds."""
FILE_VALUES_MAX = 16 * PLACES_MAX
"""Values once aliases are followed: what two meters and a probe take in each place."""
WHOLE_PLACES_MAX = 256
"""Places (a service in a region) up to which the journal keeps every one of them."""
RECORD_BYTES_MAX = 1_048_576
UNPACKED_BYTES_MAX = 67_108_864
"""A body longer than a record is packed; a longer one than this is not written."""
MESSAGE_BYTES_MAX = 65_536
"""What may be left for the leader in a store's inbox."""

OBSERVE_MS = 200
"""How often the controller looks at the world while it acts."""
OBSERVE_HELD_MS = 1_000
FRESH_MS_DEFAULT = 3_000
"""A reading older than this proves nothing."""
DRIVER_TIMEOUT_MS = 5_000
READ_TIMEOUT_MS = 1_500
ACTION_ATTEMPTS_MAX = 5
CLOCK_JUMP_MS = 1_000
HEAD_SIGN_MS = 1_000
SNAPSHOT_EVERY = 1_000
"""Records between two snapshots; bounds what a restart must fold."""
EMERGENCY_BYTES = 4_194_304
STORE_ROOM_BYTES_MIN = 67_108_864
LEASE_MS_DEFAULT = 30_000
SEAL_MS = 30_000
"""How old the sealed bundle for break-glass may become while a run is open."""
SEAL_BYTES_MAX = 2_097_152
GLASS_STEP = 1_000_000_000
"""Epochs of break-glass lie in the next generation: this far above all regular ones."""
GLASS_MARKS = 262_144
GLASS_SPAN = 1_000
"""How often one machine may break the same glass again."""
PAGE_REPEAT_MS = 300_000

assert WHOLE_PLACES_MAX < PLACES_MAX <= REGIONS_MAX * SERVICES_MAX
assert RECORD_BYTES_MAX < UNPACKED_BYTES_MAX
assert OBSERVE_MS < READ_TIMEOUT_MS < FRESH_MS_DEFAULT < LEASE_MS_DEFAULT
assert READ_TIMEOUT_MS <= DRIVER_TIMEOUT_MS
assert EMERGENCY_BYTES >= 2 * RECORD_BYTES_MAX
assert STORE_ROOM_BYTES_MIN > EMERGENCY_BYTES
assert GLASS_MARKS * GLASS_SPAN < GLASS_STEP // 2
assert SEAL_MS >= HEAD_SIGN_MS
assert SEAL_BYTES_MAX > RECORD_BYTES_MAX
