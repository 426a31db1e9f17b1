"""Passes: what a client shows to the query service where it sends no plan.

The client keeps the password of its key stores, which REST gave it, and sends it along with such calls. So the password
is made a pass: it names the project and the user, and carries a signature that only this server can make.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets

from deepcube.embedded.access import role_of
from deepcube.embedded.errors import UNAUTHORIZED, ApiError
from deepcube.embedded.keys import User
from deepcube.embedded.platform import Platform, Project
from deepcube.embedded.query.plans import signing_key


def issue(platform: Platform, project: Project, user: User) -> str:
    """Return a pass of a user for a project; letters, digits and ``-`` only.

    Parameters
    ----------
    platform : Platform
        The platform.
    project : Project
        What it opens.
    user : User
        Who has it.
    """
    text = f"{project.id}-{user.uid}-{secrets.token_hex(8)}"
    return f"{text}-{_sign(platform, text)}"


def check(platform: Platform, token: str) -> tuple[Project, User]:
    """Return project and user of a pass whose user is still a member.

    Raises
    ------
    ApiError
        401 if this server did not make the pass, or the user is no longer a member; 404 if project or user is gone.
    """
    text, _, signature = token.rpartition("-")
    if text and hmac.compare_digest(signature.encode(), _sign(platform, text).encode()):
        project_id, uid, _ = text.split("-")
        project, user = platform.project(int(project_id)), platform.keys.user(int(uid))
        if role_of(platform, user, project.id):
            return project, user
    raise ApiError(401, UNAUTHORIZED, "the client's credentials are not of this server; log in again")


def _sign(platform: Platform, text: str) -> str:
    return hmac.new(signing_key(platform, "passes"), text.encode(), hashlib.sha256).hexdigest()[:40]
