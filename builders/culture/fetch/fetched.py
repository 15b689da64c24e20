"""What became of one URL."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Fetched:
    """What became of one URL.

    Attributes:
        url: As it was asked for.
        final_url: Where the last request went.
        status: Of the last response; None where there was none.
        headers: Of the last response, those that matter (`http_request.KEPT_HEADERS`), with
            lower-case names; several lines of one header are joined by a line break.
        body: Decoded; None if there is a reason.
        reason: Why there is no body, such as "fetch:http_404".
        fetched_at: When the last response came or was confirmed, in UTC (RFC 3339); None where
            there was none.
    """

    url: str
    final_url: str
    status: int | None = None
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes | None = field(default=None, repr=False)
    reason: str | None = None
    fetched_at: str | None = None
