"""A model that a program talks with: requests come in as JSON lines, answers go out as JSON lines, piece by piece.

In:   {"do": "answer", "id", "messages", "system", "of_base", "temperature", "top_p", "max_new_tokens", "seed"}
      {"do": "score", "id", "rows"}   {"do": "stop", "id"}
Out:  {"event": "ready", "kind", ...}   {"event": "piece", "id", "text"}   {"event": "end", "id", "text", "reason", ...}
      {"event": "scores", "id", "lines"}   {"event": "error", "id", "message"}, with id null when it is the end of all;
      with "traceback" where it wasn't expected, for the log of whoever asked

The end of the input ends the process at once: whoever asked is gone.
"""

import json
import os
import queue
import threading
import time
import traceback
from collections.abc import Mapping
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING, Any

from autotrain import log
from autotrain.errors import AutoTrainError

if TYPE_CHECKING:
    from autotrain.output.score import Scorer
    from autotrain.output.talk import Talker

_OUT_OF_MEMORY = ("can't allocate memory", "out of memory")


def talk(model: str) -> None:
    """Load `model` and serve requests until the input ends.  Raises ModelError, RunFolderError."""
    line = _Line()
    threading.Thread(target=line.read, daemon=True).start()
    try:
        serve = _load(model, line)
    except AutoTrainError as error:
        line.send("error", None, message=str(error).removeprefix("base_model: "))
        raise
    while True:
        request = line.requests.get()
        threading.Thread(target=_outermost, args=(serve, line, request), daemon=True).start()


class _Line:
    """The connection: its input in a thread of its own, its output kept clear of what libraries print."""

    def __init__(self) -> None:
        self.requests: queue.Queue[dict[str, Any]] = queue.Queue()
        self.started = time.monotonic()
        self._stops: dict[Any, threading.Event] = {}
        self._lock = threading.Lock()
        # Not sys.stdin: whoever leaves while a thread reads that is aborted by the interpreter.
        self._input = os.fdopen(os.dup(0), "rb")
        self._output = os.fdopen(os.dup(1), "w", encoding="utf-8")
        os.dup2(2, 1)

    def read(self) -> None:
        """Take in requests, and end the process where the input ends."""
        for text in self._input:
            request = json.loads(text)
            if request["do"] == "stop":
                self._stop(request["id"])
            else:
                self.stop_of(request["id"])
                self.requests.put(request)
        os._exit(0)  # no clean-up: a model that is being loaded or asked would keep it waiting

    def stop_of(self, request_id: Any) -> threading.Event:
        with self._lock:
            return self._stops.setdefault(request_id, threading.Event())

    def _stop(self, request_id: Any) -> None:
        with self._lock:
            if request_id in self._stops:
                self._stops[request_id].set()

    def forget(self, request_id: Any) -> None:
        with self._lock:
            self._stops.pop(request_id, None)

    def send(self, event: str, request_id: Any = None, **fields: Any) -> None:
        fields = {name: log.mask(value) if name == "message" else value for name, value in fields.items()}
        text = json.dumps({"event": event, "id": request_id, **fields}, ensure_ascii=False, default=str)
        with self._lock:
            self._output.write(text + "\n")
            self._output.flush()


def _outermost(serve: Any, line: _Line, request: Mapping[str, Any]) -> None:
    """A request's thread: whatever goes wrong in it is said to whoever asked."""
    number = request["id"]
    try:
        serve(request)
    except AutoTrainError as error:
        line.send("error", number, message=str(error).removeprefix("base_model: ").replace("--base: ", ""))
    except Exception as error:  # noqa: BLE001  the outermost frame of this thread
        is_memory = any(text in str(error) for text in _OUT_OF_MEMORY)
        reason = (
            "there isn't enough memory for it; ask something shorter, or close other models" if is_memory else str(error)
        )
        line.send("error", number, message=f"the answer failed: {reason}", traceback=log.mask(traceback.format_exc()))
    finally:
        line.forget(number)


def _load(name: str, line: _Line) -> Any:
    from autotrain.output.targets import find_target

    token = os.environ.get("HF_TOKEN")
    if find_target(name).has_scores:
        from autotrain.output.score import load_scorer

        scorer, lock = load_scorer(name, token=token), threading.Lock()
        line.send("ready", kind="scores", max_tokens=scorer.longest, **_facts(line, scorer.policy))
        return partial(_score, scorer, lock, line)
    from autotrain.output.generate import load_base_beside, load_for_generation
    from autotrain.output.talk import Talker

    loaded = load_for_generation(name, token=token)
    talker = Talker(loaded, partial(load_base_beside, name, len(loaded.tokenizer), token))
    kind = "chat" if loaded.is_chat else "text"
    line.send("ready", kind=kind, max_tokens=loaded.max_tokens, **_facts(line, loaded.model))
    return partial(_answer, talker, line)


def _facts(line: _Line, model: Any) -> dict[str, Any]:
    device = next(model.parameters()).device.type
    return {"device": device, "seconds": round(time.monotonic() - line.started, 1)}


def _answer(talker: "Talker", line: _Line, request: Mapping[str, Any]) -> None:
    from autotrain.output.generate import AnswerSettings
    from autotrain.output.talk import Question

    settings = AnswerSettings(request["max_new_tokens"], request["temperature"], request["top_p"])
    question = Question(request["messages"], settings, request["seed"], request.get("system"), request["of_base"])
    number, begun = request["id"], time.monotonic()
    reply = talker.reply(question, lambda text: line.send("piece", number, text=text), line.stop_of(number))
    line.send("end", number, **asdict(reply), seconds=round(time.monotonic() - begun, 2))


def _score(scorer: "Scorer", lock: threading.Lock, line: _Line, request: Mapping[str, Any]) -> None:
    with lock:
        line.send("scores", request["id"], lines=scorer.score(request["rows"]))
