"""Several processes, one exit code: a failing rank ends all ranks, and one of them says why.

Lightning starts the ranks beside the first one as children. When all ranks fail together, the
first one speaks; when a child fails alone, the first one hangs in a collective and has to be ended.
"""

import os
import threading
import time

from lightning.pytorch.strategies import Strategy

PERIOD = 0.1  # seconds


def watch_children(strategy: Strategy) -> None:
    """End this process, in the background, with the exit code of a child that fails."""
    launcher = strategy.launcher
    if launcher is None or not hasattr(launcher, "procs"):
        return

    def watch() -> None:
        while True:
            codes = [process.poll() for process in launcher.procs]
            failed = [code for code in codes if code]
            if failed:
                for process in launcher.procs:
                    process.kill()
                # sys.exit would end this thread only.
                os._exit(failed[0] if failed[0] > 0 else 1)
            time.sleep(PERIOD)

    threading.Thread(target=watch, daemon=True, name="watch-ranks").start()
