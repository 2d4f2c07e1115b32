#!/usr/bin/env bash
# Makes results of the study from its archived cells, without images and without training.
#
#   docs/study/redraw.sh DIRECTORY [TARGET ...]
#
# Results are written to DIRECTORY. Without a target, these are all tables and figures and the report; with the target
# paper, this is results/paper.
set -euo pipefail
study=$(dirname "$(realpath "$0")")
root=$(dirname "$(dirname "$study")")
directory=$1
shift
shopt -s nullglob
datasets=
cells=()
for dataset in ucm neu flowers; do
  # as many seeds as the protocol requires
  seeds=("$study/cells/$dataset"/*/small/seed*/metrics.json)
  [ "${#seeds[@]}" -ge 5 ] || continue
  datasets+="$dataset,"
  cells+=("$study/cells/$dataset"/*/*/*/metrics.json)
done
[ -n "$datasets" ] || { echo "No dataset has five seeds yet; run docs/study/run.sh first." >&2; exit 1; }
title="Does a pretrained network train more efficiently if training starts with small images?"
[ "${#cells[@]}" = 150 ] || title+=" Interim results from ${#cells[@]} of 150 cells"
PATH="$root/.venv/bin:$PATH" snakemake "$@" --snakefile "$root/Snakefile" --directory "$directory" --cores all \
  --configfile "$root/config/paper.yaml" "$study/config.yaml" --config archive="$study" \
  "grid={datasets: [$datasets]}" "paper={title: '$title', protocol: $study/protocol.md}"
