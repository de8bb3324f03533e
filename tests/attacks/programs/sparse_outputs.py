"""Leaves outputs that are large only when read: a hundred sparse files, each as large as one file may be."""

import os

for number in range(64):
    os.makedirs(f"members/m{number}")
    for name in ("oof.csv", "submission.csv"):
        os.truncate(os.open(f"members/m{number}/{name}", os.O_CREAT | os.O_WRONLY), (16 << 20) - number)
for name in ("oof.csv", "submission.csv"):
    with open(name, "w") as file:
        file.write("id,fold,y\n1,0,0.5\n2,1,0.5\n" if name == "oof.csv" else "id,y\n3,0.5\n")
