"""The imperative shell: it observes, asks the core, appends, acts and reads back.

Here live the clock, settings, wiring, observer, actuator and orchestrator. Nothing here
decides: what to do next is asked of `core`, and what happened is told by the journal.
"""
