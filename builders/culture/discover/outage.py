"""Tell an outage of the place where archives lie from faults of single ranges.

A range that cannot be read costs itself alone, for good. So it must be sure that it is the range
which fails, and not the place: a place that is down, that lets nobody in, or that is not the one
of the archives would cost every page of a build.
"""

from threading import Lock

from mella.errors import MellaError

_RUN = 3
"""So many failed requests in a row at the end of a task are no accident of single ranges."""


class ArchivesError(MellaError, OSError):
    """A place that archives cannot be read from."""


class Outages:
    """Counts the requests to one place; several threads may tell of theirs at once.

    A missing file is an answer of the place, unless the place has answered nothing else.
    """

    def __init__(self, place: str, most: int) -> None:
        """Count from nothing.

        Args:
            place: What `[ranges] archives` says.
            most: Failed requests in a row at which the place fails.
        """
        self._place = place
        self._most = most
        self._lock = Lock()
        self._in_a_row = 0
        self.begin()

    def begin(self) -> None:
        """Begin a task: what it could not read is lost once it has ended well."""
        self._answered = self._missing = self._failed = 0
        self._last = ""

    def answered(self) -> None:
        """Tell of a request that brought bytes."""
        with self._lock:
            self._answered += 1
            self._in_a_row = 0

    def missing(self, path: str, error: OSError) -> None:
        """Tell of a request for a file that is not there."""
        with self._lock:
            self._missing += 1
            self._last = f"{path} ({error})"

    def failed(self, path: str, error: OSError) -> None:
        """Tell of a request that failed in another way.

        Raises:
            ArchivesError: It is one of too many in a row.
        """
        with self._lock:
            self._failed += 1
            self._in_a_row += 1
            self._last = f"{path} ({error})"
            if self._in_a_row >= self._most:
                # Others that were on their way may have failed beyond the limit.
                raise self._error(f"{self._most} requests in a row") from error

    def end(self) -> None:
        """End a task.

        Raises:
            ArchivesError: The place fails, as far as the task could see: its last requests did, or
                none brought anything. A single missing file is no sign of that.
        """
        requests = self._answered + self._missing + self._failed
        if self._in_a_row >= _RUN:
            raise self._error(f"the last {self._in_a_row} requests in a row")
        if not self._answered and (self._failed or self._missing > 1):
            what = f"all {requests} requests" if requests > 1 else "the only request"
            raise self._error(f"{what} of a task")

    def _error(self, what: str) -> ArchivesError:
        return ArchivesError(
            f"{self._place} fails: {what}, the last for {self._last}. What is finished is kept. "
            "Check that [ranges] archives is where files lie as the index names them "
            "(crawl-data/...), and that this machine may read there. Then run the build again "
            "later, or with a longer [ranges] delay_s."
        )
