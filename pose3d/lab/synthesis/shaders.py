"""Shading programs (GLSL 3.3), cheap enough for a CPU: patterns, light and shadow."""

SHADOW_VERTEX = """
#version 330
uniform mat4 light_clip;
in vec3 point;
void main() { gl_Position = light_clip * vec4(point, 1); }
"""
SHADOW_FRAGMENT = "#version 330\nvoid main() {}\n"

VERTEX = """
#version 330
uniform mat4 camera_clip;
uniform mat4 light_clip;
in vec3 point;
in vec3 facing;
in vec3 rest;
in vec3 ground_colour;
in vec3 pattern_colour;
in vec3 material;
out vec3 place;
out vec3 normal;
out vec3 world;
out vec3 in_light;
flat out vec3 ground;
flat out vec3 figure;
flat out vec3 kind;
void main() {
  normal = facing;
  world = point;
  gl_Position = camera_clip * vec4(world, 1);
  in_light = (light_clip * vec4(world + 0.01 * facing, 1)).xyz * 0.5 + 0.5;
  place = rest;
  ground = ground_colour;
  figure = pattern_colour;
  kind = material;
}
"""

FRAGMENT = """
#version 330
uniform vec3 camera;
uniform vec3 light;
uniform vec3 key;
uniform vec3 ambient;
uniform sampler2DShadow shadow;
in vec3 place;
in vec3 normal;
in vec3 world;
in vec3 in_light;
flat in vec3 ground;
flat in vec3 figure;
flat in vec3 kind;
out vec4 colour;

float hash(vec3 p) { return fract(52.9829189 * fract(dot(p, vec3(0.06711056, 0.00583715, 0.0314159)))); }
float noise(vec3 p) {
  vec3 i = floor(p), f = fract(p);
  f = f * f * (3.0 - 2.0 * f);
  float a = mix(hash(i), hash(i + vec3(1, 0, 0)), f.x);
  float b = mix(hash(i + vec3(0, 1, 0)), hash(i + vec3(1, 1, 0)), f.x);
  float c = mix(hash(i + vec3(0, 0, 1)), hash(i + vec3(1, 0, 1)), f.x);
  float d = mix(hash(i + vec3(0, 1, 1)), hash(i + vec3(1, 1, 1)), f.x);
  return mix(mix(a, b, f.y), mix(c, d, f.y), f.z);
}
float share(vec3 p) {  // of the pattern's colour
  int which = int(kind.x + 0.5);
  p /= kind.y;
  if (which == 1) return step(0.5, fract(p.z));
  if (which == 2) return mod(floor(p.x) + floor(p.y) + floor(p.z), 2.0);
  if (which == 3) return smoothstep(0.35, 0.65, noise(p));
  if (which == 4) return 0.6 * hash(vec3(floor(p.x + 0.13 * p.z), 1, floor(p.y * 0.2))) + 0.4 * noise(p * vec3(6, 1, 6));
  return 0.0;
}
void main() {
  vec3 n = normalize(normal);
  if (dot(n, camera - world) < 0) n = -n;
  if (kind.z > 0) {
    vec3 q = place * vec3(40, 40, 17);
    n = normalize(n + 0.5 * kind.z * sin(q + 2 * sin(q.yzx * 0.7)));
  }
  float facing = max(dot(n, light), 0);
  float lit = 1;
  if (facing > 0 && all(greaterThan(in_light, vec3(0))) && all(lessThan(in_light, vec3(1))))
    lit = texture(shadow, in_light - vec3(0, 0, 0.002));
  vec3 base = mix(ground, figure, share(place));
  base *= base;  // to linear light, about
  vec3 around = ambient * (0.65 + 0.35 * n.z);
  colour = vec4(sqrt(base * (key * facing * lit * 1.6 + around * 1.4)), 1);
}
"""
