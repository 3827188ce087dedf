"""What a run in the cloud makes, uploads and costs, in words: for --dry-run by a table, at the start by the hub's prices."""

from collections.abc import Sequence
from dataclasses import dataclass

from autotrain.cloud.hardware import PRICES_DATE, hardware_of, hourly_price, is_space
from autotrain.cloud.upload import SplitFile
from autotrain.hub.sizes import size_text


@dataclass(frozen=True)
class Upload:
    """Something that is uploaded: what it is, and its bytes."""

    what: str
    num_bytes: int


@dataclass(frozen=True)
class Bill:
    """created: what is made, a line each.  hours: the bound that max_hours gives, None for none.

    unbounded: what to say of the time if there is no bound.
    """

    backend: str
    created: Sequence[str]
    uploads: Sequence[Upload]
    secrets: Sequence[str]
    hours: float | None
    unbounded: str = "hours unknown, as they depend on how fast this machine trains this model: max_hours would bound them"

    def text(self, price: float | None = None, *, is_live: bool = False) -> str:
        """All of it, with `price` in USD per hour if `is_live`, else with the price of the dated table."""
        price = price if is_live else hourly_price(self.backend)
        lines = ["would create", *(f"  {line}" for line in self.created), "would upload"]
        lines += [f"  {one.what} ({size_text(one.num_bytes)})" for one in self.uploads]
        lines += [f"would hand over as secrets: {', '.join(self.secrets)}"]
        said = "as the hub says now" if is_live else f"as of {PRICES_DATE}; at the start the hub is asked"
        return "\n".join([*lines, f"would be billed: {self.cost(price)} ({said})"])

    def cost(self, price: float | None) -> str:
        """What `price`, USD per hour or None if unknown, comes to."""
        hardware = hardware_of(self.backend)
        what = f"{hardware.name} ({hardware.description})"
        when = "while the Space starts and runs" if is_space(self.backend) else "while the Job starts and runs"
        if price is None:
            return f"{what} at an unknown price, {when}"
        if price == 0:
            return f"{what} costs nothing per hour, but docker Spaces on it need a paid plan of the hub"
        if self.hours is None:
            return f"{what} at {price:.2f} USD per hour {when}; {self.unbounded}"
        bound = price * self.hours
        return (
            f"{what} at {price:.2f} USD per hour {when}; training stops after {self.hours:g} hours (max_hours), "
            f"{bound:.2f} USD, to which starting, loading and uploading come"
        )


def uploads_of(splits: Sequence[SplitFile], repo_id: str) -> list[Upload]:
    """Local data as they would be uploaded."""
    return [Upload(f"{one.path} -> data set {repo_id}, {one.name}", one.num_bytes) for one in splits]
