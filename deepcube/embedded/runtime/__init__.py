"""What runs beside the server, and the files it works on: jobs, schedules, models, deployments, uploads.

Children (jobs, predictors) run with the server's own interpreter, each below a small supervisor process that outlives
the server, bounds its output and writes down how it ended. May import the core of :mod:`deepcube.embedded` only.
"""

from __future__ import annotations
