"""A double of the Hugging Face Hub on loopback: the real client talks to it, nothing of the client is replaced."""

from hub_double.double import HubDouble
from hub_double.protocol import Request

__all__ = ["HubDouble", "Request"]
