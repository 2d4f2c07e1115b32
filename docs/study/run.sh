#!/usr/bin/env bash
# Trains the cells of the study, one dataset and seed at a time, and archives their small files beside this script.
# Archived cells are skipped, so an interrupted study resumes where it stopped.
#
#   docs/study/run.sh CHECKOUT DIRECTORY [CONFIGFILE ...]
#
# CHECKOUT is a checkout of the released version with its .venv; do not modify it while the study runs. Results are
# written to DIRECTORY. A further configuration file can state where the images and the weights are.
set -euo pipefail
shopt -s nullglob
study=$(dirname "$(realpath "$0")")
checkout=$(realpath "$1")
directory=$2
shift 2
model=tf_efficientnet_lite0
for dataset in ucm neu flowers; do
  for seed in 0 1 2 3 4 5 6 7 8 9; do
    archived=("$study/cells/$dataset/$model"/*/"seed$seed/metrics.json")
    [ "${#archived[@]}" -lt 5 ] || continue
    targets=()
    for regime in no-increase gradual stepwise matched small; do
      targets+=("results/cells/$dataset/$model/$regime/seed$seed/metrics.json")
    done
    files=(data/"$dataset"/{manifest,rejected,duplicates}.csv)
    names=(history predictions)
    if [ "$seed" = 0 ]; then
      targets+=("results/inference/$model.csv" "results/inference/trained/$dataset/$model.csv")
      files+=("inference/$model.csv" "inference/trained/$dataset/$model.csv")
      names+=(steps lr_find)
    fi
    "$checkout/.venv/bin/snakemake" "${targets[@]}" --snakefile "$checkout/Snakefile" --directory "$directory" \
      --cores all --resources gpu=1 --configfile "$checkout/config/paper.yaml" "$study/config.yaml" "$@"
    (
      cd "$directory/results"
      for name in "${names[@]}"; do
        files+=(cells/"$dataset/$model"/*/"seed$seed/$name.csv")
      done
      cp --parents "${files[@]}" "$study"
      # last, because a cell with this file counts as archived
      cp --parents cells/"$dataset/$model"/*/"seed$seed"/metrics.json "$study"
    )
  done
done
