"""Moving pictures in and out: one reader for video files, folders of images and cameras.

Times are seconds after the first picture that the clip shows; no frame is dropped or doubled.
Pictures come turned the way players show them.
"""
