"""``python -m pose3d``: the same as the command ``pose3d``."""

from __future__ import annotations

from pose3d.cli.app import main

# Worker processes import this file as well; they must not start over.
if __name__ == "__main__":
    main()
