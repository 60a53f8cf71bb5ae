"""What was counted before: recorded files, Prometheus' past, the side log, a live look.

Every source becomes `Row`s, rows become the gate's looks; nothing here judges, and
nothing here chooses a driver.
"""
