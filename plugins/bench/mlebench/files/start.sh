#!/bin/bash
# Started by MLE-bench as `bash $AGENT_DIR/start.sh [--key value …]`, by a user without rights; the arguments are flags
# of `gome run`. There is a valid submission from the first seconds on: the sample, then that of a short run, then that
# of the long one. What the environment says: COMPETITION_ID, TIME_LIMIT_SECS, and the four folders of the Dockerfile.
set -u
cd "$AGENT_DIR" || exit 1
eval "$(conda shell.bash hook)"
conda activate agent

id=$COMPETITION_ID
limit=${TIME_LIMIT_SECS:-86400}
work=$AGENT_DIR/work
export GOME_HOME=$work/home MLE_BENCH_DATA=$work/data
mkdir -p "$SUBMISSION_DIR" "$LOGS_DIR" "$CODE_DIR" "$MLE_BENCH_DATA/$id/prepared"
exec > >(tee -a "$LOGS_DIR/agent.log") 2>&1
# The data are read-only and without their private half; gome finds them where `mlebench prepare` would put them.
ln -sfn "${DATA_DIR:-/home/data}" "$MLE_BENCH_DATA/$id/prepared/public"

hardware="a CPU"
if command -v nvidia-smi > /dev/null && nvidia-smi --query-gpu=name --format=csv,noheader > /dev/null 2>&1; then
  hardware=$(nvidia-smi --query-gpu=name --format=csv,noheader | sort | uniq -c | paste -sd ',' -)
fi
echo "$id: $limit s, $(nproc) cores, $hardware"

gome mle-bench submission "$id" --out "$SUBMISSION_DIR/submission.csv"
if ! listed=$(gome mle-bench targets "$id"); then
  echo "$id: only the sample submission is handed in"
  exit 0
fi
mapfile -t targets <<< "$listed"
files=()

# attempt NAME UNTIL [FLAG …]: one run per target that ends by second UNTIL, then a submission from each one's latest.
attempt() {
  local name=$1 until=$2 place share found
  shift 2
  for place in "${!targets[@]}"; do
    share=$(((until - SECONDS) / (${#targets[@]} - place)))
    [ "$share" -ge 1 ] || continue
    # The container is the sandbox: what a model writes may run in it. A run that does not end by itself is ended.
    timeout --signal INT --kill-after 15 $((until + limit / 40 + 30 - SECONDS)) gome run "mlebench:$id" \
      --target "${targets[place]}" --run "$name-$place" --time "${share}s" --out "$work/$name/$place" --unsafe "$@" \
      < /dev/null
    for found in "$work/$name/$place"/gome-*/; do
      if [ -f "$found/submission.csv" ]; then
        files[place]=$found/submission.csv
        cp "$found/best_program.py" "$CODE_DIR/train$([ "${#targets[@]}" -gt 1 ] && echo "_$place").py"
        cp "$found/REPORT.md" "$LOGS_DIR/$name-$place.md"
      fi
    done
  done
  if [ "${#files[@]}" -eq "${#targets[@]}" ]; then
    gome mle-bench submission "$id" "${files[@]}" --out "$work/submission.csv" &&
      mv "$work/submission.csv" "$SUBMISSION_DIR/submission.csv"
  fi
}

short=$((limit / 20 < 600 ? limit / 20 : 600))
attempt short $((SECONDS + short)) "$@"
# A twentieth and a minute are kept for what is not search: starting a run, and writing what came of it.
attempt long $((limit - limit / 20 - 60)) "$@"
echo "$id: ended after $SECONDS s"
