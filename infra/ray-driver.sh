#!/bin/bash
# A node of a Ray cluster and a Prefect worker on it: flows run here, where the cluster's address is "auto", and their
# work runs on the other nodes. Ends when either ends, so that whoever started it starts both anew.
#
#   infra/ray-driver.sh POOL ray start --address=HEAD:6379 --num-cpus=0 --block
set -euo pipefail
pool=$1
shift
"$@" &
node=$!
trap 'kill -TERM "${worker:-$node}" "$node" 2>/dev/null || true' TERM INT
for _ in $(seq 120); do
  kill -0 "$node"
  if ray status --address "${DUBWRIGHT_RAY_HEAD:-auto}" >/dev/null 2>&1; then break; fi
  sleep 1
done
prefect worker start --pool "$pool" --type process &
worker=$!
status=0
wait -n "$node" "$worker" || status=$?
kill -TERM "$worker" "$node" 2>/dev/null || true
wait || true
exit "$status"
