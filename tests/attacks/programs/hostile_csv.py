"""Leaves predictions that break readers of tables: which kind, it is told."""

case = KNOWN["case"]
good = b"id,fold,y\n1,0,0.5\n2,1,0.5\n"
texts = {
    "rows": b"id,fold,y\n" + b"1,0,0.5\n" * 7_000_000,
    "columns": b"id,fold,y" + b"," * 900_000 + b"\n1,0,0.5\n2,1,0.5\n",
    "cells": b"id,fold,y\n1,0,0.5" + b",1" * 450_000 + b"\n2,1,0.5\n",
    "field": b'id,fold,y\n1,0,"' + b"x" * 900_000 + b'"\n2,1,0.5\n',
    "quote": b'id,fold,y\n1,0,0.5\n2,1,"0.5\n' + b"z\n" * 100_000,
    "digits": b"id,fold,y\n1,0,0." + b"3" * 900_000 + b"\n2,1,0.5\n",
    "exponent": b"id,fold,y\n1,0,1e999999999\n2,1,0.5\n",
    "integer": b"id,fold,y\n1,0," + b"9" * 400 + b"\n2,1,0.5\n",
    "missing": b"id,fold,y\n1,0,\n2,1,nan\n",
    "infinite": b"id,fold,y\n1,0,inf\n2,1,-inf\n",
    "bytes": b"id,fold,y\n\xff\xfe,0,0.5\n2,1,0.5\n",
    "zeros": bytes(900_000),
    "twice": b"id,fold,y\n1,0,0.5\n1,0,0.5\n2,1,0.5\n",
    "header": b"id,fold,y,y\n1,0,0.5,0\n2,1,0.5,0\n",
    "folds": b"id,fold,y\n1,9,0.5\n2,1e400,0.5\n",
    "surrogate": "\ufeffid,fold,y\n1,0,0.5\n2,1,0.5\u2028\n".encode(),
    "nothing": b"",
    "lines": b"\n" * 900_000,
    "complex": b"id,fold,y\n1,0,1+2j\n2,1,True\n",
    "ids": b"id,fold,y\n" + b"9" * 300 + b",0,0.5\n1e308,1,0.5\n",
}
with open("oof.csv", "wb") as file:
    file.write(texts[case])
with open("submission.csv", "wb") as file:
    file.write(b"id,y\n3,0.5\n")
