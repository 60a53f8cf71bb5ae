"""The command line: one module for each verb or small family of verbs.

A verb reads its options, finds out whether a controller runs, and hands over: to the
controller through its socket, or to a session of its own. Nothing is decided here. A
module is imported when its verb is typed, so that `--help` answers at once.
"""
