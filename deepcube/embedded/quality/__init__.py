"""Quality and reuse: what is known *about* the entities of a project, beside their data.

Statistics, expectation suites and validation reports, feature monitoring, tags and keywords, search, provenance,
activities, and who may see and change what. Domain logic only: the REST calls are in :mod:`deepcube.embedded.api`.
May import the core of :mod:`deepcube.embedded`, its ``store``, ``query`` and ``runtime``.
"""
