"""Moving pictures in and out: one reader for video files, folders of images and cameras.

::

    with open_video("walk.mp4", start=2.0, end=5.0) as video:
        for frame in video:
            use(frame.image, frame.time_s)

Times are those of the container, in seconds after the first picture that the clip shows. No frame
is dropped or doubled. The pictures come turned the way players show them.
"""
