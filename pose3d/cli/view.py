"""``pose3d view``: look at a result in a browser."""

from __future__ import annotations

import webbrowser
from pathlib import Path
from typing import Annotated

from pose3d.cli.files import find_result
from pose3d.cli.flags import argument, flag


def view(
    result: Annotated[Path, argument("A result: pose.npz, pose.json, or their folder.")],
    video: Annotated[
        Path | None, argument("The clip it was made from. (default: the one that the result names)")
    ] = None,
    *,
    open_it: Annotated[
        bool, flag("Open the page in the browser. (default: on)", "--open/--no-open")
    ] = True,
) -> None:
    """Make a page to look at a result from all sides, beside it, and open it in the browser.

    The page is one file, which works without a network and can be passed on.

    Example: pose3d view out/walk
    """
    from pose3d.cli.edge import print_warning
    from pose3d.result.record import load
    from pose3d.viewer.page import write_page

    path = find_result(result)
    page = write_page(load(path), path.with_suffix(".html"), video=video)
    print(page)
    if open_it and not webbrowser.open(page.absolute().as_uri()):
        print_warning(f"no browser could be opened; open {page} in one")
