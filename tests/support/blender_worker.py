"""Run by itself: imports a file into Blender and prints where its joints are, as JSON.

``FILE SECONDS...``: ``{"fps": ..., seconds: {armature: {bone: [x, y, z], "": scale}}}``, y up, in the
units of the file.
"""

import json
import sys

import bpy

path, *times = sys.argv[1:]
bpy.ops.wm.read_factory_settings(use_empty=True)
scene = bpy.context.scene
scene.render.fps, scene.render.fps_base = 60, 1.0
first = 0
if path.endswith(".bvh"):
    bpy.ops.import_anim.bvh(filepath=path, update_scene_fps=True)
    first = 1
else:
    bpy.ops.import_scene.gltf(filepath=path)
fps = scene.render.fps / scene.render.fps_base
out: dict = {"fps": fps}
for seconds in times:
    frame = round(first + float(seconds) * fps, 4)
    scene.frame_set(int(frame), subframe=frame % 1)
    out[seconds] = {}
    for thing in scene.objects:
        if thing.type == "ARMATURE":
            places = {bone.name: thing.matrix_world @ bone.head for bone in thing.pose.bones}
            out[seconds][thing.name] = {n: [x, z, -y] for n, (x, y, z) in places.items()}
            out[seconds][thing.name][""] = max(map(abs, thing.matrix_world.to_scale()))
print("RESULT" + json.dumps(out))
