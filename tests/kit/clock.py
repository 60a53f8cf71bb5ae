"""Virtual time for tests: that of the rehearsal."""

from dayshift.rehearsal.clock import (
    EPOCH_MS,
    SeededEntropy,
    Stuck,
    VirtualClock,
    run_virtual,
)

__all__ = ["EPOCH_MS", "SeededEntropy", "Stuck", "VirtualClock", "run_virtual"]
