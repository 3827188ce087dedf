"""The front matter of README.md: read, and judged as `validate-yaml` judges it."""

import re
from typing import Any

import yaml

from hub_double.protocol import Answer, Call, as_json, route

FRONT_MATTER = re.compile(r"\A\s*---[ \t]*\r?\n(.*?)^---[ \t]*$", re.DOTALL | re.MULTILINE)
LICENCES = frozenset(
    """apache-2.0 mit openrail bigscience-openrail-m creativeml-openrail-m bigscience-bloom-rail-1.0 bigcode-openrail-m
    afl-3.0 artistic-2.0 bsl-1.0 bsd bsd-2-clause bsd-3-clause bsd-3-clause-clear c-uda cc cc0-1.0 cc-by-2.0 cc-by-2.5
    cc-by-3.0 cc-by-4.0 cc-by-sa-3.0 cc-by-sa-4.0 cc-by-nc-2.0 cc-by-nc-3.0 cc-by-nc-4.0 cc-by-nd-4.0 cc-by-nc-nd-3.0
    cc-by-nc-nd-4.0 cc-by-nc-sa-2.0 cc-by-nc-sa-3.0 cc-by-nc-sa-4.0 cdla-sharing-1.0 cdla-permissive-1.0
    cdla-permissive-2.0 wtfpl ecl-2.0 epl-1.0 epl-2.0 etalab-2.0 eupl-1.1 eupl-1.2 agpl-3.0 gfdl gpl gpl-2.0 gpl-3.0 lgpl
    lgpl-2.1 lgpl-3.0 isc h-research intel-research lppl-1.3c ms-pl apple-ascl apple-amlr mpl-2.0 odc-by odbl openmdw-1.0
    openrail++ osl-3.0 postgresql ofl-1.1 ncsa unlicense zlib pddl lgpl-lr deepfloyd-if-license
    fair-noncommercial-research-license
    llama2 llama3 llama3.1 llama3.2 llama3.3 llama4 grok2-community gemma unknown other array""".split()
)
COLOURS = frozenset("red yellow green blue indigo purple pink gray".split())
REPO_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")


def front_matter(text: str) -> dict[str, Any]:
    """Empty where there is none, or none that can be read."""
    found = FRONT_MATTER.search(text)
    if found is None:
        return {}
    try:
        matter = yaml.safe_load(found.group(1))
    except yaml.YAMLError:
        return {}
    return matter if isinstance(matter, dict) else {}


def _unreadable(text: str) -> str | None:
    found = FRONT_MATTER.search(text)
    if found is None:
        return None
    try:
        matter = yaml.safe_load(found.group(1))
    except yaml.YAMLError as error:
        return f"YAML metadata is not valid: {error}"
    return None if matter is None or isinstance(matter, dict) else "YAML metadata must be a mapping"


def _list_of_words(value: Any) -> bool:
    return isinstance(value, str) or (isinstance(value, list) and all(isinstance(each, str) for each in value))


def _model_errors(matter: dict[str, Any]) -> list[str]:
    errors = [f'"{key}" must be a string or a list of strings' for key in ("tags", "datasets", "base_model", "language")
              if matter.get(key) is not None and not _list_of_words(matter[key])]  # fmt: skip
    licence = matter.get("license")
    for each in licence if isinstance(licence, list) else [licence]:
        if each is not None and each not in LICENCES:
            errors.append(f'"license" must be one of [{", ".join(sorted(LICENCES))}]')
    bases = matter.get("base_model") or []
    for base in [bases] if isinstance(bases, str) else bases:
        if isinstance(base, str) and not REPO_ID.fullmatch(base):
            errors.append(f'"base_model" with value "{base}" is not valid. Use a model id from https://hf.co/models.')
    for key in ("pipeline_tag", "library_name", "license_name", "license_link"):
        if matter.get(key) is not None and not isinstance(matter[key], str):
            errors.append(f'"{key}" must be a string')
    for entry in matter.get("model-index") or []:
        if not isinstance(entry, dict) or "name" not in entry or not isinstance(entry.get("results"), list):
            errors.append('"model-index[0]" must have a "name" and a list of "results"')
    return errors


def space_errors(matter: dict[str, Any]) -> list[str]:
    errors = []
    if matter.get("sdk") not in ("gradio", "docker", "static"):
        errors.append('"sdk" must be one of [gradio, docker, static]')
    for key in ("colorFrom", "colorTo"):
        if matter.get(key) is not None and matter[key] not in COLOURS:
            errors.append(f'"{key}" must be one of [{", ".join(sorted(COLOURS))}]')
    if len(str(matter.get("short_description") or "")) > 60:
        errors.append('"short_description" length must be less than or equal to 60 characters long')
    if matter.get("app_port") is not None and not isinstance(matter["app_port"], int):
        errors.append('"app_port" must be a number')
    return errors


def validate(call: Call) -> Answer:
    payload = call.json()
    text, kind = payload["content"], payload.get("repoType") or "model"
    matter = front_matter(text)
    unreadable = _unreadable(text)
    errors = [unreadable] if unreadable else space_errors(matter) if kind == "space" else _model_errors(matter)
    warnings = [] if matter or errors else ["empty or missing yaml metadata in repo card"]
    found = {"errors": [{"message": each} for each in errors], "warnings": [{"message": each} for each in warnings]}
    return as_json(found, 400 if errors else 200)


ROUTES = (route("POST", "/api/validate-yaml", validate),)
