"""A rehearsal: the operator's own plan, run by the real orchestrator in an estate that
does not exist, while things go wrong.

Here lives the simulated estate (`world`, `devices`, `meters`, `parts`), what goes wrong
in it (`weather`, `people`, `controllers`), who watches it (`history`, `checkers`), and
many of them at once (`play`, `campaign`, `advice`). Nothing here decides what Dayshift
does, nothing reads real time, and the checkers know nothing of what they check.
"""
