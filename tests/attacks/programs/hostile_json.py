"""Leaves diagnostics that break readers of JSON: which one, it is told."""

texts = {
    "deep": b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "nested": b'{"a":' * 600 + b"1" + b"}" * 600,
    "surrogate": rb'{"a": "\ud800", "\udfff": 1}',
    "infinite": b'{"a": 1e999, "b": -1e999, "c": NaN}',
    "huge": b'{"a": ' + b"9" * 4000 + b', "b": 123456789012345678901234567890}',
    "digits": b'{"a": ' + b"9" * 200_000 + b"}",
    "bytes": b'{"a": "\xff\xfe\x00"}',
    "twice": b'{"a": 1, "a": {"a": 2}}',
    "null": b'{"\\u0000": "\\u0000"}',
    "nothing": b"",
    "wide": b"{" + b",".join(b'"%d":[]' % n for n in range(20_000)) + b"}",
}
with open("diagnostics.json", "wb") as file:
    file.write(texts[KNOWN["case"]])
with open("submission.csv", "w") as file:
    file.write("id,y\n3,0.5\n")
with open("oof.csv", "w") as file:
    file.write("id,fold,y\n1,0,0.5\n2,1,0.5\n")
