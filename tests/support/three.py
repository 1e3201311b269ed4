"""three.js' own loader of glTF in a real browser: where it puts the joints of a file."""

from __future__ import annotations

import functools
import http.server
import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.support.browser import wait_until

PAGE = """<!doctype html><html><body style="margin:0"><canvas id="c"></canvas>
<script type="importmap">{"imports": {"three": "./three/build/three.module.js",
"three/addons/": "./three/examples/jsm/"}}</script>
<script type="module">
import * as THREE from "three";
import { GLTFLoader } from "three/addons/loaders/GLTFLoader.js";
const file = new URL(location).searchParams.get("file");
const gltf = await new GLTFLoader().loadAsync(file);
const scene = new THREE.Scene();
scene.add(gltf.scene, new THREE.HemisphereLight(0xffffff, 0x888888, 3), new THREE.GridHelper(10, 20));
const mixer = new THREE.AnimationMixer(gltf.scene);
for (const clip of gltf.animations) mixer.clipAction(clip).setLoop(THREE.LoopOnce).play();
gltf.scene.traverse((node) => { node.frustumCulled = false; });
window.times = gltf.animations.map((clip) => [clip.name, clip.duration]);
window.at = (seconds) => {
  mixer.setTime(0); for (const clip of gltf.animations) mixer.clipAction(clip).reset();
  mixer.setTime(seconds);
  gltf.scene.updateMatrixWorld(true);
  const out = {};
  gltf.scene.traverse((node) => {
    if (!node.isBone) return;
    let top = node; while (top.parent !== gltf.scene) top = top.parent;
    const name = gltf.parser.json.nodes[gltf.parser.associations.get(node).nodes].name;
    (out[top.name] ??= {})[name] = node.getWorldPosition(new THREE.Vector3()).toArray();
    out[top.name].size = Math.hypot(...node.matrixWorld.elements.slice(0, 3));
  });
  return out;
};
window.draw = (eye, target) => {
  const renderer = new THREE.WebGLRenderer({ canvas: document.getElementById("c"), antialias: true, preserveDrawingBuffer: true });
  renderer.setSize(innerWidth, innerHeight);
  scene.background = new THREE.Color(0xf4f2ee);
  const camera = new THREE.PerspectiveCamera(45, innerWidth / innerHeight, 0.1, 100);
  camera.position.set(...eye); camera.lookAt(...target);
  const sun = new THREE.DirectionalLight(0xffffff, 1.5); sun.position.set(2, 4, 3); scene.add(sun);
  renderer.render(scene, camera);
};
window.ready = true;
</script></body></html>"""


def find_three() -> Path:
    """Returns the npm package three: POSE3D_THREE, or npm's global one; skips without."""
    given = os.environ.get("POSE3D_THREE")
    npm = shutil.which("npm")
    if given is None and npm is not None:
        root = subprocess.run([npm, "root", "-g"], capture_output=True, text=True, check=True)
        given = str(Path(root.stdout.strip()) / "three")
    if given is None or not (Path(given) / "build/three.module.js").is_file():
        pytest.skip("needs three.js: npm install -g three, or its folder in POSE3D_THREE")
    return Path(given)


@contextmanager
def open_gltf(browser: Any, path: Path) -> Iterator[Any]:
    """Opens a file; ``at(seconds)`` of the page then returns joints by person and name."""
    folder = path.parent
    if not (folder / "three").exists():
        (folder / "three").symlink_to(find_three().resolve())
    (folder / "look.html").write_text(PAGE)
    handler = functools.partial(Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with browser.new_context(viewport={"width": 900, "height": 600}) as context:
            page = context.new_page()
            said: list[str] = []
            page.on("console", lambda message: said.append(message.text))
            page.on("pageerror", lambda error: said.append(str(error)))
            page.goto(f"http://127.0.0.1:{server.server_port}/look.html?file={path.name}")
            wait_until(page, f"Boolean(window.ready) || {len(said)} > 0")
            yield page
            assert [
                line for line in said if "GPU stall" not in line and "favicon" not in line
            ] == []
        server.shutdown()


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: Any) -> None:
        pass

    def do_GET(self) -> None:
        if self.path == "/favicon.ico":
            self.send_response(204)
            self.end_headers()
        else:
            super().do_GET()
