"""What the page and the API read of runs: where they stand, metrics, log, samples, rows left out.

Reads run folders and the registry, and writes nothing.  From any thread.  No file is held whole
in memory.
"""

from autotrain.app.feeds.run_feed import RunFeed
from autotrain.app.feeds.run_list import Feeds
from autotrain.app.feeds.tail import News
from autotrain.app.feeds.view import RunView

__all__ = ["Feeds", "News", "RunFeed", "RunView"]
