"""``pose3d live``: people of a camera on the screen, and on their way to other programs."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any

from pose3d.cli.flags import FLAGS_2D, SMOOTHING_FLAGS, argument, with_flags, with_options
from pose3d.errors import UsageError
from pose3d.options import PRESET_NAMES, option

if TYPE_CHECKING:
    from concurrent.futures import Future

    from pose3d.live.loop import LiveRun
    from pose3d.live.moment import Sender
    from pose3d.live.recording import Recording
    from pose3d.live.window import Window

# What differs from a run: the past alone is lifted, and frames wait while the detector looks at the
# whole picture in tiles, which takes as long as ten of them.
LIVE: dict[str, Any] = {"lifter": "mixste.live9", "detect_every": 60}
_FLAGS_2D = tuple(name for name in FLAGS_2D if name not in LIVE)
_CLIP = "person", "duration", "start", "end", "rotate", "partial_people", "device", "offline"
_PLACING = "place", "height", "focal_px", "focal_35mm"
_RECORDED = "output", "format", "render", "overwrite"
_REFRESH_S = 0.5


@dataclass(frozen=True, kw_only=True)
class LiveOptions:
    """Flags of ``pose3d live``."""

    vmc: str | None = option(
        None,
        "Send one person to a VRM program by the Virtual Motion Capture protocol: who was there "
        "first, or --person.",
        metavar="HOST:PORT",
    )
    osc: str | None = option(
        None, "Send everybody's joints by Open Sound Control.", metavar="HOST:PORT"
    )
    websocket: str | None = option(
        None, "Let programs and pages connect here for everybody's joints.", metavar="HOST:PORT"
    )
    record: bool = option(
        False,
        "Keep the pictures that were worked on, and in the end make of them what 'pose3d run' "
        "makes, with everybody.",
        one_way=True,
    )
    lifter: str | None = option(
        None,
        "Lifter from 2D to 3D, see 'pose3d models', or a .safetensors file.",
        metavar="NAME",
        shown=f"{LIVE['lifter']}; for the recording that of 'pose3d run'",
    )
    detect_every: int | None = option(
        None,
        "Frames between two runs of the detector; it also runs when somebody is lost.",
        metavar="FRAMES",
        shown=str(LIVE["detect_every"]),
        least=1,
    )
    open: bool = option(True, "Open a window, or the page in the browser, where there is a screen.")


@with_flags(
    *PRESET_NAMES, *_CLIP, *_FLAGS_2D, *SMOOTHING_FLAGS, *_PLACING, *_RECORDED, "style", "quiet"
)
@with_options(LiveOptions)
def live(
    camera: Annotated[
        str,
        argument(
            "The number of a camera, a video that plays in real time, or rtsp://...",
            metavar="CAMERA",
        ),
    ] = "0",
    *,
    options: LiveOptions,
    given: dict[str, Any],
) -> None:
    """Show everybody before a camera in 3D while they move, and send their poses to other programs.

    Frames are dropped where the machine is too slow, so that what is shown is never late. Ctrl-C
    ends it.

    Example: pose3d live --vmc 127.0.0.1:39539
    """
    from pose3d.cli.config import merge_config, split_options

    values = merge_config(given, None)
    typed_here = {name: getattr(options, name) for name in LIVE}
    values |= {name: value for name, value in typed_here.items() if value is not None}
    typed = [name for name in _RECORDED if name in values]
    if typed and not options.record:
        raise UsageError(f"--{typed[0]} is for recordings", "Give --record as well")
    chain, outputs, command = split_options({**LIVE, **values})
    kept = replace(split_options(values)[0], detect_every=chain.detect_every)

    from pose3d.cli.edge import make_console, print_warning
    from pose3d.live.loop import LiveRun
    from pose3d.live.recording import Recording
    from pose3d.pipeline.estimate import fetch_weights, load_models
    from pose3d.pipeline.live import wanted_ids
    from pose3d.stores.places import hide_secrets
    from pose3d.video.reader import open_video, plays_by_itself

    say: Callable[[str], None] = (lambda _: None) if command.quiet else make_console().print
    wanted_ids(chain.person)
    if not plays_by_itself(camera):
        open_video(camera).close()  # what cannot be read is known before the networks are loaded
    recording = Recording(camera, kept, outputs) if options.record else None
    with ExitStack() as stack:
        senders, window = _make_senders(options, outputs.style, say, stack)
        if not chain.offline:
            fetch_weights(chain, say)
        models = load_models(chain)
        run = LiveRun(camera, chain, models, senders, recording=recording, on_warning=print_warning)
        shown = f"camera {camera}" if camera.isdigit() else hide_secrets(camera)
        say(f"{shown} plays; Ctrl-C ends it")
        _follow(run, window, quiet=command.quiet)
    _tell(run, say)
    if recording is not None:
        _finish(recording, say, quiet=command.quiet)


def _make_senders(
    options: LiveOptions, style: str, say: Callable[[str], None], stack: ExitStack
) -> tuple[list[Sender], Window | None]:
    """Opens what moments are passed on to; the stack closes it."""
    import webbrowser

    from pose3d.live.osc import OscJoints
    from pose3d.live.page import Page
    from pose3d.live.vmc import Vmc
    from pose3d.live.websocket import WebSocket
    from pose3d.live.window import Window, has_screen, has_windows

    senders: list[Sender] = []

    def add(sender: Sender) -> None:
        senders.append(sender)
        stack.callback(sender.close)

    if options.vmc is not None:
        add(Vmc(options.vmc))
    if options.osc is not None:
        add(OscJoints(options.osc))
    if options.websocket is not None:
        add(WebSocket(options.websocket))
        say(f"websocket ws://{options.websocket}")
    if options.open and has_windows():
        window = Window(style)
        add(window)
        return senders, window
    page = Page(style)
    add(page)
    say(f"page {page.url}")
    if options.open and has_screen():
        webbrowser.open(page.url)
    return senders, None


def _follow(run: LiveRun, window: Window | None, *, quiet: bool) -> None:
    """Waits for the end of a run, and ends it at Ctrl-C or when the window is closed."""
    from concurrent.futures import ThreadPoolExecutor

    from pose3d.cli.edge import make_console

    console = make_console()
    with ThreadPoolExecutor(1, thread_name_prefix="pose3d-live") as pool:
        worker = pool.submit(run.run)
        try:
            if window is not None:
                window.show_while(lambda: not worker.done())
            elif console.is_terminal and not quiet:
                with console.status("waiting for a picture") as status:
                    while not _ended(worker):
                        if run.newest is not None:
                            status.update(_figures(run))
            else:
                while not _ended(worker):
                    pass
        except KeyboardInterrupt:
            pass  # the usual end
        finally:
            run.stop()
        worker.result()


def _ended(worker: Future[None]) -> bool:
    from concurrent.futures import wait

    return bool(wait([worker], _REFRESH_S).done)


def _figures(run: LiveRun) -> str:
    moment = run.newest
    assert moment is not None
    people = len(moment.people)
    return (
        f"{moment.rate:.0f} frames/s, latency {1000 * moment.latency_s:.0f} ms, "
        f"{run.dropped} dropped, {people} {'person' if people == 1 else 'people'}"
    )


def _tell(run: LiveRun, say: Callable[[str], None]) -> None:
    """Prints what became of the pictures."""
    import statistics

    count = len(run.latencies_s)
    if count:
        median_ms = 1000 * statistics.median(run.latencies_s)
        say(f"{count} frames, {run.dropped} dropped; median latency {median_ms:.0f} ms")


def _finish(recording: Recording, say: Callable[[str], None], *, quiet: bool) -> None:
    """Makes the files of a recording, and says where they are."""
    from pose3d.cli.edge import make_console, print_warning

    console = make_console()
    try:
        if console.is_terminal and not quiet:
            with console.status("3D") as status:
                pose = recording.finish(
                    lambda stage, done, total: status.update(f"{stage} {done}/{total}"),
                    print_warning,
                )
        else:
            pose = recording.finish(None, print_warning)
    except KeyboardInterrupt:
        say(f"The pictures are kept: pose3d run {recording.pictures} makes the rest.")
        raise
    people = "1 person" if pose.n_people == 1 else f"{pose.n_people} people"
    say(f"{recording.folder}: {people}, {pose.n_frames} frames")
