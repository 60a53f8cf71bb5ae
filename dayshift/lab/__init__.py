"""A real estate on one machine: Envoys, applications, a database, and users.

Here lives what makes, runs, breaks and measures it. Dayshift itself is only ever run as
a child process, and its journal only ever read; nothing of Dayshift imports this
package but its own command.
"""
