"""``pose3d run``: videos in, 3D motion out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pose3d.cli.flags import FLAGS, argument, flag, with_flags

if TYPE_CHECKING:
    from pose3d.pipeline.batch.watch import Outcome


@with_flags(*FLAGS)
def run(
    paths: Annotated[
        list[str],
        argument(
            "Videos, folders, patterns such as 'clips/*.mp4', folders of images, addresses such as "
            "s3://bucket/clips, or the number of a camera.",
            metavar="PATH",
        ),
    ],
    config: Annotated[
        Path | None,
        flag(
            "Options from a file, by the same names; flags typed here win.",
            "--config",
            metavar="FILE.toml",
            rich_help_panel="Run",
        ),
    ] = None,
    *,
    given: dict[str, Any],
) -> None:
    """Find everybody in videos and write their 3D motion.

    Each clip gets a folder OUTPUT/NAME/ with pose.npz, pose.json and NAME.mp4. What is done already
    is kept: run the same command again to go on after an interruption.

    Example: pose3d run walk.mp4 holiday/ --output results
    """
    from pose3d.cli.config import merge_config, split_options
    from pose3d.video.sources import find_inputs

    options, outputs, command = split_options(merge_config(given, config))
    sources = find_inputs(paths, recursive=command.recursive)

    # Only now: these import the libraries of the whole chain.
    from pose3d.cli.report import RunReport
    from pose3d.errors import UsageError
    from pose3d.pipeline.batch.clips import run_batch
    from pose3d.pipeline.batch.workers import default_jobs

    if command.quiet and command.verbose:
        raise UsageError("--quiet and --verbose contradict each other", "Give one of them")
    jobs = command.jobs
    if jobs is None and command.engine == "local":
        jobs = default_jobs()
    report = RunReport(sources, quiet=command.quiet, verbose=command.verbose)
    if options.chosen_by is not None:
        report.say(options.chosen_by)
    try:
        if options.tracker != "own":
            from pose3d.tracking.yolo_trackers import check_linker

            report.say(f"{'tracker':10} {check_linker(options.tracker)}")
        with report:
            outcomes = run_batch(
                sources,
                options,
                outputs,
                jobs=jobs,
                shard=command.shard,
                engine=command.engine,
                ray_address=command.ray_address,
                watcher=report,
            )
    except KeyboardInterrupt:
        report.print_summary()
        report.say("Stopped. What is finished stays; the same command goes on from there.")
        raise
    report.print_summary()
    raise typer.Exit(exit_code(outcomes))


def exit_code(outcomes: list[Outcome]) -> int:
    """Returns 0, or the code of the only clip's error, or 1 when any of several failed; busy clips did not."""
    errors = [o.error for o in outcomes if o.error is not None and o.status != "busy"]
    if not errors:
        return 0
    return errors[0].exit_code if len(outcomes) == 1 else 1
