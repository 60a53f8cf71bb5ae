"""The whole grammar between controller and agent: nine requests, five answers.

Here: the messages and their frames (four bytes of length, then JSON). Not here: sockets
and TLS (`link`, `dayshift.agent.server`), or what a request does (`dayshift.agent`).

Every stream begins with `attest`, whose words never change: so both sides can say which
version they are before either of them misunderstands the other.
"""

from __future__ import annotations

from asyncio import IncompleteReadError, StreamReader
from enum import StrEnum

import msgspec

from dayshift.errors import DayshiftError, DriverFault, DriverRetry, Reason, Refused
from dayshift.model.dial import Abilities, Claim, InstanceReading, Setting, Token
from dayshift.model.units import Instant

FRAME_BYTES_MAX = 65_536
LENGTH_BYTES = 4
PROTOCOL = 2
"""The version of this grammar: one higher whenever an older side would misread it or be
misread. 1 was the grammar without `attest`."""
NOT_A_REQUEST, NOT_MY_DIAL = "NOT-A-REQUEST", "NOT-MY-DIAL"


class Attest(msgspec.Struct, frozen=True, tag_field="do", tag="attest"):
    """This is who asks. Which are you?"""

    version: str
    protocol: int


class Ask(msgspec.Struct, frozen=True, tag_field="do", forbid_unknown_fields=True):
    """Base of all requests; every one names its dial."""

    dial: str


class Describe(Ask, frozen=True, tag="describe"):
    """What can the dial do?"""


class Read(Ask, frozen=True, tag="read"):
    """What does every instance show?"""


class Set(Ask, frozen=True, tag="set"):
    """Install a setting; with a lease it goes back unless it is renewed.

    `as_of` is when the agent gave the reading that this rests on, by its own clock: a
    request that lay about, while the agent slept or the wire was stuck, is told by it.
    """

    setting: Setting
    token: Token
    as_of: Instant
    revert_to: Setting | None = None
    lease_ms: int = 0


class Hold(Ask, frozen=True, tag="hold"):
    """Keep what stands there; nothing expires any more."""

    token: Token


class Prepare(Ask, frozen=True, tag="prepare"):
    """Let caches keep answers for a short time only."""

    token: Token


class Restore(Ask, frozen=True, tag="restore"):
    """Let caches keep answers as long as usual."""

    token: Token


class Renew(Ask, frozen=True, tag="renew"):
    """Let the lease of this write run on."""

    claim: Claim
    lease_ms: int


class Fence(Ask, frozen=True, tag="fence"):
    """From here on no epoch before this one may write."""

    claim: Claim


class Answer(msgspec.Struct, frozen=True, tag_field="is"):
    """Base of all answers."""


class Attested(Answer, frozen=True, tag="attested", omit_defaults=True):
    """Which Dayshift answers. `list_number` is that of its revocation list, 0 without
    one; `notes` is what somebody should see to."""

    version: str
    protocol: int
    ends_ms: int = 0
    list_number: int = 0
    notes: tuple[str, ...] = ()


class Described(Answer, frozen=True, tag="described"):
    """What the dial can do."""

    abilities: Abilities


class Shown(Answer, frozen=True, tag="shown"):
    """What every instance shows, what the dial can do, and when that was asked, by the
    agent's clock."""

    abilities: Abilities
    instances: tuple[InstanceReading, ...]
    at: Instant


class Done(Answer, frozen=True, tag="done"):
    """It was done; the caller reads back."""


class Failure(StrEnum):
    """Which error it was; the controller raises the same."""

    REFUSED = "refused"
    RETRY = "retry"
    FAULT = "fault"


class Failed(Answer, frozen=True, tag="failed"):
    """It was not done, or nobody knows: the reason says which."""

    kind: Failure
    reason: Reason
    after_ms: int = 0


Deed = Describe | Read | Set | Hold | Prepare | Restore | Renew | Fence
Request = Attest | Deed
Reply = Attested | Described | Shown | Done | Failed
REQUESTS = msgspec.json.Decoder(Request)
REPLIES = msgspec.json.Decoder(Reply)


def framed(message: Request | Reply) -> bytes:
    """A message as it goes over the wire."""
    body = msgspec.json.encode(message)
    return len(body).to_bytes(LENGTH_BYTES, "big") + body


async def frame(reader: StreamReader) -> bytes | None:
    """The next message's bytes; None at the end of the stream.

    Raises:
        ValueError: it is longer than any message may be.
    """
    try:
        head = await reader.readexactly(LENGTH_BYTES)
        length = int.from_bytes(head, "big")
        if not 0 < length <= FRAME_BYTES_MAX:
            raise ValueError(f"a frame of {length} bytes (limit {FRAME_BYTES_MAX})")
        return await reader.readexactly(length)
    except IncompleteReadError:
        return None


def failed(error: DayshiftError) -> Failed:
    """An error as an answer."""
    if isinstance(error, DriverRetry):
        return Failed(Failure.RETRY, error.reason, error.after_ms)
    kind = Failure.REFUSED if isinstance(error, Refused) else Failure.FAULT
    return Failed(kind, error.reason)


def raised(answer: Failed) -> DayshiftError:
    """An answer as the error that it was."""
    match answer.kind:
        case Failure.REFUSED:
            return Refused(answer.reason)
        case Failure.RETRY:
            return DriverRetry(answer.reason, answer.after_ms)
        case Failure.FAULT:
            return DriverFault(answer.reason)
