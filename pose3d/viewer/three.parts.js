// What the viewer takes of three.js; three.min.js is made of it in an empty folder by
//   npm install three@0.187.0 esbuild@0.28.2
//   { echo '/*!'; echo 'three.js 0.187.0'; cat node_modules/three/LICENSE; echo '*/'; } > banner
//   npx esbuild three.parts.js --bundle --minify --format=iife --global-name=THREE \
//     --target=es2021 --legal-comments=none --banner:js="$(cat banner)" --outfile=three.min.js
export {
  BufferAttribute, BufferGeometry, Color, ColorManagement, CylinderGeometry, DirectionalLight,
  DoubleSide, Group, HemisphereLight, InstancedMesh,
  LinearSRGBColorSpace, LineBasicMaterial, LineSegments, Matrix4, Mesh, MeshBasicMaterial,
  MeshLambertMaterial, PerspectiveCamera, Quaternion, Scene, SphereGeometry, Vector3, WebGLRenderer,
} from "three";
export { OrbitControls } from "three/examples/jsm/controls/OrbitControls.js";
