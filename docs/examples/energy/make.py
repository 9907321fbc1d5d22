#!/usr/bin/env python3
"""Makes train.csv and line.csv: what three presses of a hall that does not exist would have used.

    python3 make.py

Energy = BASE[machine] + 0.06 * Temperature + 0.11 * Load, plus noise with a standard deviation of 0.15 kWh. At
first press-1 and press-2 run; press-3 comes on reading 97, and from reading 169 on press-2 needs 35 % more.
"""

import random
from datetime import datetime, timedelta

BASE = {"press-1": 4.0, "press-2": 6.5, "press-3": 9.0}
START = datetime(2026, 3, 2, 6)
draw = random.Random(3)


def reading(number, machine, worn=False):
    temperature = round(draw.uniform(16, 31), 1)
    load = round(draw.uniform(35, 95))
    energy = BASE[machine] + 0.06 * temperature + 0.11 * load + draw.gauss(0, 0.15)
    energy *= 1.35 if worn else 1
    at = START + timedelta(minutes=5 * number)
    return f"{number},{machine},{temperature},{load},{energy:.2f},{at:%Y-%m-%dT%H:%M:%SZ}"


def write(name, rows):
    with open(name, "w", newline="\n") as file:
        file.write("Reading,Machine,Temperature,Load,Energy,At\n")
        file.writelines(row + "\n" for row in rows)


two, three = list(BASE)[:2], list(BASE)
write("train.csv", [reading(n, two[n % 2]) for n in range(-80, 0)])
line = []
for n in range(1, 241):
    machine = (two if n <= 96 else three)[n % (2 if n <= 96 else 3)]
    line.append(reading(n, machine, worn=machine == "press-2" and n > 168))
write("line.csv", line)
