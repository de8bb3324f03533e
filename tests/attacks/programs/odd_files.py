"""Leaves what is no file where the scorer reads: a pipe without a writer, a folder, a socket, a locked file."""

import os
import socket

os.mkfifo("submission.csv")
os.mkdir("oof.csv")
socket.socket(socket.AF_UNIX).bind("scores.csv")
with open("diagnostics.json", "w") as file:
    file.write("{}")
os.chmod("diagnostics.json", 0)
os.makedirs("members/k")
os.mkfifo("members/k/oof.csv")
os.mkfifo("members/k/submission.csv")
