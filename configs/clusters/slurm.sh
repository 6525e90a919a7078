#!/bin/bash
# The study under Slurm: one Ray for the job, which ends with it.
#
# Label: validated only. bash reads it and our policy accepts it; no Slurm has run it.
#
#   HF_HOME=/scratch/$USER/huggingface warmth prefetch configs/pilot.yaml    # on a login node, as compute nodes have no internet
#   sbatch configs/clusters/slurm.sh configs/pilot.yaml     # from the project's folder, on a disk that all nodes see
#
# When its time is up, or a node is lost, Slurm starts it again, and the same command carries on from what is on file.
#SBATCH --job-name=warmth
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node=8
#SBATCH --exclusive
#SBATCH --time=24:00:00
#SBATCH --signal=B:USR1@300
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output=warmth-%j.log
set -euo pipefail
study=${1:?"usage: sbatch configs/clusters/slurm.sh STUDY.yaml"}

# Jobs of the same node or user do not meet: ports by the job's number, temporary files in a folder of the job's own. Nodes are
# whole (--exclusive): `ray stop`, which symmetric-run ends with, stops every Ray of the user on a node.
port=$((20000 + SLURM_JOB_ID % 10000))
export RAY_TMPDIR=/tmp/ray-$SLURM_JOB_ID
export RAY_SYMMETRIC_RUN_CLUSTER_WAIT_TIMEOUT=300   # 30 s do not do where Python lies on a shared disk

# Only who has this job's token may ask its Ray for anything
export RAY_AUTH_MODE=token RAY_AUTH_TOKEN_PATH=$HOME/.ray/token-$SLURM_JOB_ID
mkdir -p "$HOME/.ray"
(umask 077 && head -c 32 /dev/urandom | base64 | tr -d '\n' >"$RAY_AUTH_TOKEN_PATH")

export RAY_USAGE_STATS_ENABLED=0 RAY_ENABLE_UV_RUN_RUNTIME_ENV=0
export HF_HOME=${HF_HOME:-/scratch/$USER/huggingface} HF_HUB_OFFLINE=1 HF_DATASETS_OFFLINE=1
export PATH=$PWD/.venv-gpu/bin:$PATH   # make setup-gpu, on a login node

again() {
    scontrol requeue "$SLURM_JOB_ID"   # five minutes before the end: what is finished is kept
}
trap again USR1
trap 'rm -f "$RAY_AUTH_TOKEN_PATH"' EXIT

first=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
address=$(getent ahostsv4 "$first" | awk 'NR == 1 {print $1}'):$port
srun --kill-on-bad-exit=1 ray symmetric-run --address "$address" --min-nodes "$SLURM_JOB_NUM_NODES" \
    --num-gpus="${SLURM_GPUS_ON_NODE:-0}" --dashboard-host=127.0.0.1 --temp-dir="$RAY_TMPDIR" --disable-usage-stats \
    -- env RAY_ADDRESS="$address" warmth run "$study" &
wait $!
