"""A client for the API that `autotrain app` serves, with AutoTrain's three calls: create, get_logs, stop_training.

    from autotrain.client import Client
    client = Client(host="http://127.0.0.1:7860")
    job = client.create("my-run", "llm:sft", "smollm2-135m", "local", "datasets/my-data", "train", params={"epochs": 1})
    client.get_logs(job["job_id"])["logs"]

Needs nothing but Python's own library.
"""

import json
import os
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from autotrain import log
from autotrain.config.names import backend_fault, task_fault
from autotrain.errors import ConfigError, DeviceError

DEFAULT_HOST = "http://127.0.0.1:7860"
TIMEOUT_SECONDS = 120.0
# As AutoTrain's client had them, where the user says nothing.  Not kept: what the server's own defaults do better
# (block_size: at most 1024 and what the model takes; chat_template: by the data; quantization: where the machine can), and
# what needs more libraries or has no effect (log, padding, distributed_backend).
DEFAULT_PARAMS: Mapping[str, Any] = MappingProxyType(
    {"peft": True, "epochs": 3, "mixed_precision": "auto", "merge_adapter": True}
)
_TEXT: Mapping[str, str] = MappingProxyType({"text_column": "text"})
_PAIR: Mapping[str, str] = MappingProxyType({"text_column": "chosen", "rejected_text_column": "rejected"})
_PROMPTED: Mapping[str, str] = MappingProxyType({"prompt_text_column": "prompt", **_PAIR})
DEFAULT_COLUMNS: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {
        "llm:sft": _TEXT,
        "llm:generic": _TEXT,
        "llm:default": _TEXT,
        "llm:reward": _PAIR,
        "llm:dpo": _PROMPTED,
        "llm:orpo": _PROMPTED,
    }
)


class RequestRefused(ConfigError):
    """The server said no.  status: HTTP."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


@dataclass
class Client:
    """host: AUTOTRAIN_API, or this machine's page.  token: the hub's, HF_TOKEN.  username: HF_USERNAME, or its owner.

    password: of the page, where it demands one, AUTOTRAIN_PASSWORD; on a Space the token lets in.
    Nothing of these is needed for a page on this machine and runs that aren't pushed.
    """

    host: str | None = None
    token: str | None = field(default=None, repr=False)
    username: str | None = None
    password: str | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        self.host = (self.host or os.environ.get("AUTOTRAIN_API") or DEFAULT_HOST).rstrip("/")
        self.token = self.token or os.environ.get("HF_TOKEN")
        self.username = self.username or os.environ.get("HF_USERNAME")
        self.password = self.password or os.environ.get("AUTOTRAIN_PASSWORD")
        for secret in (self.token, self.password):
            log.hide_secret(secret)

    def create(
        self,
        project_name: str,
        task: str,
        base_model: str,
        backend: str,
        dataset: str,
        train_split: str = "train",
        column_mapping: Mapping[str, str] | None = None,
        params: Mapping[str, Any] | None = None,
        valid_split: str | None = None,
    ) -> dict[str, Any]:
        """Start a run; `job_id` of the answer is what the other calls take.

        dataset: of the hub, or a folder or file of the page's workspace.  params: win over DEFAULT_PARAMS.
        Raises ConfigError for what can be seen to be wrong here, RequestRefused, DeviceError.
        """
        fault = task_fault(task) or backend_fault(backend)
        if fault:
            raise ConfigError(fault)
        return self._post(
            "create_project",
            {
                "project_name": project_name,
                "task": task,
                "base_model": base_model,
                "hardware": backend,
                "params": {**DEFAULT_PARAMS, **(params or {})},
                "username": self.username,
                "column_mapping": dict(column_mapping or DEFAULT_COLUMNS.get(task, {})),
                "hub_dataset": dataset,
                "train_split": train_split,
                "valid_split": valid_split,
            },
        )

    def get_logs(self, job_id: str) -> dict[str, Any]:
        """The log of a run is `logs` of the answer.  Raises RequestRefused, DeviceError."""
        return self._post("logs", {"jid": job_id})

    def stop_training(self, job_id: str) -> dict[str, Any]:
        """Let a run save and leave.  Raises RequestRefused, DeviceError."""
        return self._post("stop_training", {"jid": job_id})

    def version(self) -> str:
        """The server's.  Raises RequestRefused, DeviceError."""
        return str(self._ask(self._request("version"))["version"])

    def _post(self, call: str, body: Mapping[str, Any]) -> dict[str, Any]:
        request = self._request(call, json.dumps(body).encode())
        request.add_header("Content-Type", "application/json")
        return self._ask(request)

    def _request(self, call: str, body: bytes | None = None) -> urllib.request.Request:
        request = urllib.request.Request(f"{self.host}/api/{call}", data=body)
        key = self.password or self.token
        if key:
            request.add_header("Authorization", f"Bearer {key}")
        if self.password and self.token:
            request.add_header("X-Hub-Token", self.token)
        return request

    def _ask(self, request: urllib.request.Request) -> dict[str, Any]:
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as problem:
            with problem:
                said = problem.read(100_000).decode(errors="replace")
            raise RequestRefused(f"{request.full_url}: {_detail(said) or problem.reason}", problem.code) from problem
        except (OSError, ValueError) as problem:
            raise DeviceError(
                f"{self.host} can't be asked: {problem}; start the page there with autotrain app, or give another host"
            ) from problem


def _detail(said: str) -> str:
    try:
        return str(json.loads(said)["detail"])
    except (ValueError, KeyError, TypeError):
        return ""
