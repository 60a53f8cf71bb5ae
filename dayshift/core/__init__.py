"""Pure decisions. Everything here is a function of its arguments: no clock, no
randomness, no I/O, no logging. The shell in `runtime` asks and acts."""
