"""Hands in a submission of a billion rows: as many as fit into the largest file it may write, the rest as a hole."""

import os

with open("oof.csv", "w") as file:
    file.write("id,fold,y\n1,0,0.5\n2,1,0.5\n")
with open("submission.csv", "w") as file:
    file.write("id,y\n" + "3,0.5\n" * 1_000_000)
trying("ten gigabytes", lambda: os.truncate("submission.csv", 10 << 30) or "done")
os.truncate("submission.csv", 60 << 20)
