"""The parts of `dayshift.yaml` that say where things stand: journal, agents.

A place is a region of the estate, or a name of its own beside the regions.
"""

from __future__ import annotations

from pydantic import Field

from dayshift.runtime.settings.forms import Options, Strict
from dayshift.runtime.settings.units import Name


class JournalFile(Strict):
    """Where the journal's records lie."""

    driver: str = Field(
        default="sqlite",
        description="sqlite: a file here, one controller. etcd, postgresql: shared by "
        "several controllers.",
    )
    options: Options = Field(
        default_factory=dict,
        description="What the store asks for; each documents its own keys.",
    )
    members: dict[Name, Name] = Field(
        default_factory=dict,
        description="Where each member of the store stands: a region, or a place "
        "beside them. More than half must be left when a region is out.",
    )


class AgentFile(Strict):
    """The agent of one machine that has sockets."""

    place: Name = Field(description="Where it stands: a region, or a place beside.")
    url: str = Field(description="Where it listens: https://host:port.")
    ca: str = Field(default="", description="The authority that signed its key.")
    cert: str = Field(default="", description="The controller's certificate.")
    key: str = Field(default="", description="The controller's key, a secret.")
    revoked: str = Field(
        default="",
        description="The authority's list of revoked certificates, `revoked.pem`. "
        "Absent: an agent's certificate counts until its end.",
    )


class PlaceFile(Strict):
    """What of `dayshift.yaml` says where the journal lies, without the rest."""

    estate: Name
    journal: JournalFile = Field(default_factory=JournalFile)


PLACE_KEYS = tuple(PlaceFile.model_fields)
