"""Period of a pendulum of one metre: an example to be replaced by your code."""

import json
import math
import sys

STEP = 1e-4  # s

amplitude, damping = math.radians(float(sys.argv[1])), float(sys.argv[2])
angle, speed, time = amplitude, 0.0, 0.0
while angle > 0:  # a quarter of the first swing
    speed -= (9.81 * math.sin(angle) + damping * speed) * STEP
    angle += speed * STEP
    time += STEP
print(f"down after {time:.4f} s")
with open("swing.json", "w") as file:
    json.dump({"period": round(4 * time, 4)}, file)
