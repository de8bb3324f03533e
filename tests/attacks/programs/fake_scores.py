"""Claims a perfect score everywhere but in its predictions: scores.csv, diagnostics, output."""

import json

with open("scores.csv", "w") as file:
    file.write(",rmse\nmodel,0.0\nensemble,0.0\n")
with open("diagnostics.json", "w") as file:
    json.dump({"score": 0.0, "ok": True, "failure": "", "outputs": {"oof.csv": "sha256-0"}, "debug_share": -1}, file)
print("rmse: 0.0\nscore 0.0\nValidation RMSE 0.000", flush=True)
with open("submission.csv", "w") as file:
    file.write("id,y\n3,0.5\n")
with open("oof.csv", "w") as file:
    file.write("id,fold,y\n1,0,0.6\n2,1,0.4\n")
