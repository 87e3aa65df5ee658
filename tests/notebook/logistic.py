"""Iterate x -> r x (1 - x) and print how far its late values lie apart."""

import sys

r = float(sys.argv[-1])
x, late = 0.5, []
for step in range(1000):
    x = r * x * (1 - x)
    late += [x] if step >= 900 else []
print("spread", round(max(late) - min(late), 6))
