"""``pose3d models`` and ``pose3d doctor``: what there is, and what is wrong."""

from __future__ import annotations

import typer

from pose3d.cli.results import print_table, size_in_words


def models() -> None:
    """List every detector, 2D estimator and lifter: licence, size, here or not, and how to get it.

    Below: what each preset takes on this machine, and why.

    Example: pose3d models
    """
    from pose3d.parts.presets import describe_presets
    from pose3d.parts.table import list_models

    rows = [
        (
            row.kind,
            row.name + (" (default)" if row.is_default else ""),
            row.licence,
            size_in_words(row.size_bytes),
            ", ".join(row.presets),
            ", ".join(row.weights),
            row.state,
        )
        for row in list_models()
    ]
    print_table(("kind", "name", "licence", "size", "presets", "weights", "state"), rows)
    print()
    for line in describe_presets():
        print(line)


def doctor() -> None:
    """Check this installation; print everything that a bug report needs, in one piece.

    Example: pose3d doctor
    """
    from pose3d.parts.doctor import examine

    worst = "ok"
    for check in examine():
        print(f"{check.level:4} {check.name:22} {check.text}", flush=True)
        if check.level == "fail" or (check.level == "warn" and worst == "ok"):
            worst = check.level
    if worst == "fail":
        raise typer.Exit(1)
