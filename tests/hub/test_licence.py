"""The licence of the base is carried over: of a hub model, a folder, a GGUF file, or an embedded model."""

from pathlib import Path
from typing import Any

import pytest

from autotrain.hub.licence import Licence, licence_in, local_card, local_licence


@pytest.mark.parametrize(
    ("card", "home", "licence"),
    [
        ({"license": "apache-2.0"}, None, Licence("apache-2.0")),
        ({"license": "other", "license_name": "llama3"}, None, Licence("other", "llama3")),
        (
            {"license": "other", "license_name": "x", "license_link": "LICENSE"},
            "https://huggingface.co/a/b",
            Licence("other", "x", "https://huggingface.co/a/b/blob/main/LICENSE"),
        ),
        ({"license": "other", "license_link": "LICENSE"}, None, Licence("other")),
        ({"license": "other", "license_link": "https://x.org/l"}, None, Licence("other", None, "https://x.org/l")),
        ({"license": ["mit", "cc-by-4.0"]}, None, Licence("other", "mit, cc-by-4.0")),
        ({"license": "Apache-2.0"}, None, Licence("apache-2.0")),
        ({"license": "our-own"}, None, Licence("other", "our-own")),  # the hub would refuse the card
        ({"license": 3}, None, None),
        ({}, None, None),
    ],
)
def test_the_licence_is_what_the_card_says(card: dict[str, Any], home: str | None, licence: Licence | None):
    assert licence_in(card, home) == licence


def test_a_folder_and_a_gguf_file_have_the_licence_of_the_card_beside_them(tmp_path: Path):
    (tmp_path / "README.md").write_text("---\nlicense: mit\nbase_model: acme/old\n---\n# It\n---\nlicense: no\n---\n")
    gguf = tmp_path / "model.gguf"
    gguf.touch()
    assert local_licence(str(tmp_path)) == local_licence(str(gguf)) == Licence("mit")
    assert local_card(tmp_path)["base_model"] == "acme/old"


def test_the_embedded_model_has_its_own():
    assert local_licence("smollm2-135m") == Licence("apache-2.0")


@pytest.mark.parametrize("text", ["", "# no front matter\n", "---\n: [\n---\n", "---\n- a list\n---\n", "\0\x80"])
def test_a_card_that_cannot_be_read_names_no_licence(tmp_path: Path, text: str):
    (tmp_path / "README.md").write_bytes(text.encode("latin-1"))
    assert local_licence(str(tmp_path)) is None
