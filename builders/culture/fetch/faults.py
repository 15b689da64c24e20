"""Tell faults that may pass from those that last, and what each says of its host.

| fault | reasons | asked again | slows the host down | counts against the host |
|---|---|---|---|---|
| busy | `http_429` `http_503` | `retries` times | yes | yes |
| broken server | `http_408` `http_500` `http_502` `http_504` `http_520`...`524` | `retries` times | no | no |
| broken connection | `connection`: refused, reset, cut short | `retries` times | no | yes |
| late | `timeout`: each try may take all its time | once | yes | yes |
| slow | `too_slow` | never | yes | yes |
| name service | `dns`, where it says that it may pass | once | no | yes |
| name or certificate | `dns` otherwise, `tls` | never | no | yes |
| everything else | `http_404`, `too_large`, `private_address`, ... | never | no | no |

All reasons begin with `fetch:`. A host against which `max_host_failures` count in a row is left
alone for `host_pause_s`.
"""  # noqa: E501 - a table

from dataclasses import dataclass


@dataclass(frozen=True)
class Fault:
    """What follows from a failed request.

    Attributes:
        tries: How often it is asked again at most, however many retries are allowed.
        strains: Whether the host seems to have too much to do.
        counts: Whether it is a failure of the host rather than of the URL.
    """

    tries: int = 0
    strains: bool = False
    counts: bool = False


_ALWAYS = 1_000_000
_BUSY = Fault(_ALWAYS, strains=True, counts=True)
_BROKEN = Fault(_ALWAYS)
_LASTING = Fault()
_FAULTS = {
    "fetch:http_429": _BUSY,
    "fetch:http_503": _BUSY,
    **{f"fetch:http_{status}": _BROKEN for status in (408, 500, 502, 504, 520, 521, 522, 523, 524)},
    "fetch:connection": Fault(_ALWAYS, counts=True),
    "fetch:timeout": Fault(1, strains=True, counts=True),
    "fetch:too_slow": Fault(strains=True, counts=True),
    "fetch:dns": Fault(counts=True),
    "fetch:tls": Fault(counts=True),
}
_NAME_SERVICE = Fault(1, counts=True)


def fault_of(reason: str | None, *, passing: bool = False) -> Fault:
    """Return what follows from how a request ended.

    Args:
        reason: Why there is no body; None where there is one.
        passing: Whether the name service says that the same question may have an answer later.
    """
    if reason == "fetch:dns" and passing:
        return _NAME_SERVICE
    return _FAULTS.get(reason or "", _LASTING)
