"""Failures on purpose: which requests fail, how, and how often."""

import re
import threading
from dataclasses import dataclass, field
from typing import Literal

from hub_double.protocol import Refused

Kind = int | Literal["cut", "lost", "slow"]

MESSAGES = {
    400: "Bad request",
    401: "Invalid credentials in Authorization header",
    402: "Payment required: add a payment method to use this hardware",
    403: "Forbidden: you don't have the rights to do this with this token",
    404: "Repository not found",
    409: "Conflict: another operation is in progress",
    412: "A commit has happened since. Please refresh and try again.",
    429: "We had to rate limit you. If you think it's an error, please contact us.",
    500: "Internal Error - We're working hard to fix this as soon as possible!",
    502: "Bad Gateway",
    503: "Service Unavailable",
    504: "Gateway Timeout",
}
CODES = {404: "RepoNotFound"}


@dataclass
class Failure:
    """status: what is answered instead; "cut": the connection ends halfway through the request's body (or, where there
    is none, halfway through the answer); "lost": the request is carried out and the connection ends before the answer;
    "slow": the right answer comes `seconds` late, or as soon as the test sets `over`.
    after: that many matching requests pass first. times: that many fail then; None: all."""

    method: re.Pattern[str]
    path: re.Pattern[str]
    status: Kind
    times: int | None
    seconds: float
    after: int
    code: str | None
    message: str | None
    over: threading.Event = field(default_factory=threading.Event)

    def refusal(self) -> Refused:
        """Raises KeyError for a kind that isn't a status."""
        status = int(self.status)
        message = self.message or MESSAGES.get(status, "Failed on purpose")
        headers = {}
        if status == 429:
            wait_seconds = int(self.seconds)
            headers = {"RateLimit": f'"api";r=0;t={wait_seconds}', "RateLimit-Policy": '"fixed window";"api";q=500;w=300'}
        return Refused(status, message, self.code or CODES.get(status), headers=headers)


class Failures:
    def __init__(self) -> None:
        self.waiting: list[Failure] = []
        self._lock = threading.Lock()  # requests come in threads of their own, and each failure is counted

    def add(
        self,
        method: str,
        path: str,
        status: Kind,
        times: int | None,
        seconds: float,
        after: int,
        code: str | None,
        message: str | None,
    ) -> Failure:
        failure = Failure(re.compile(method), re.compile(path), status, times, seconds, after, code, message)
        self.waiting.append(failure)
        return failure

    def take(self, method: str, path: str) -> Failure | None:
        """The failure that this request meets. path: with its query."""
        with self._lock:
            for failure in self.waiting:
                if failure.times == 0 or not failure.method.fullmatch(method) or not failure.path.search(path):
                    continue
                if failure.after > 0:
                    failure.after -= 1
                    continue
                if failure.times is not None:
                    failure.times -= 1
                return failure
            return None
