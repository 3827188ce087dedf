"""On the hub, a card's lines name the repository: a stranger can copy them."""

from autotrain.hub.card import PLACE, with_address

CARD = f"""# my-run

```python
from transformers import AutoTokenizer

folder = "my-run"  # {PLACE}
tokenizer = AutoTokenizer.from_pretrained(folder)
```

```bash
autotrain chat my-run
```
"""


def test_the_lines_name_the_repository_and_the_command_a_download():
    card = with_address(CARD, "nils/my-run")
    assert 'folder = "nils/my-run"  # on the hub' in card
    assert "hf download nils/my-run --local-dir my-run\nautotrain chat my-run\n" in card
    assert with_address(card, "nils/my-run") == card


def test_a_branch_is_downloaded():
    card = with_address(CARD, "nils/my-run", "second")
    assert 'folder = snapshot_download("nils/my-run", revision="second")' in card
    assert "hf download nils/my-run --revision second --local-dir my-run" in card


def test_a_card_of_somebody_else_stays_as_it_is():
    assert with_address("# Hello\n\nautotrain chat me\n", "nils/my-run") == "# Hello\n\nautotrain chat me\n"
