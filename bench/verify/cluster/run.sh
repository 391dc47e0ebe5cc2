#!/usr/bin/env bash
# Runs the jobs that `unet cluster` writes in the engines they are for, on this
# machine, and compares what they leave with the results of one process: of images,
# one of which is larger than memory and is divided among the parts, and of the folds
# of a training.
#
#   bench/verify/cluster/run.sh PROGRAM NAME...
#
# slurm       a cluster of one node on loopback from Debian's packages, which are
#             unpacked, not installed: an array of six, one task of which is put
#             back into the queue and one killed
# nextflow    Nextflow 24.10, offline: NEXTFLOW_CP (a class path) or Maven
# snakemake   Snakemake: PYTHON or a new environment from PyPI
# kubernetes  the manifest by the types of Kubernetes' interface, strictly
set -euo pipefail
program=$(realpath "$1")
shift
cd "$(dirname "$0")"
here=$PWD
work=$(mktemp -d)
daemons=()
cleanup() {
  for p in "${daemons[@]}"; do kill "$p" 2>/dev/null || true; done
  for p in "${daemons[@]}"; do wait "$p" 2>/dev/null || true; done
  rm -rf "$work" 2>/dev/null || { sleep 3; rm -rf "$work"; }
}
trap cleanup EXIT
cp "$program" "$work/unet"
cd "$work"
./unet sample --out sample.zip --count 18 --size 384 --seed 3 --quiet
./unet prepare sample.zip --out set --size native --quiet
# train OUT trains two folds of a small network, for seconds.
train() {
  local out=$1
  shift
  ./unet train "$work/set" --out "$out" --split-by source --folds 2 --depth 1 --width 16 --batch 1 --steps 2 --epochs 1 "$@"
}
train once-folds --quiet >/dev/null
cp -r set/images images
printf 'II*\0 and nothing else' > images/broken.tif
# A TIFF of discs in strips, which is read in bands.
python3 - images/large.tif <<'EOF'
import random, struct, sys
random.seed(5)
side, rows = 2048, 64
pixels = bytearray(random.randrange(20, 40) for _ in range(side * side))
for _ in range(3000):
    x, y, r = random.randrange(side), random.randrange(side), random.randrange(6, 14)
    for j in range(max(0, y - r), min(side, y + r)):
        half = int((r * r - (j - y) ** 2) ** 0.5)
        a, b = max(0, x - half), min(side, x + half)
        pixels[j * side + a:j * side + b] = bytes(random.randrange(150, 190) for _ in range(b - a))
strips = side // rows
at = 8 + len(pixels)
tags = [(256, side), (257, side), (258, 8), (259, 1), (262, 1), (273, at), (278, rows), (279, at + 4 * strips)]
with open(sys.argv[1], "wb") as f:
    f.write(struct.pack("<2sHI", b"II", 42, at + 8 * strips) + pixels)
    f.write(struct.pack(f"<{strips}I", *(8 + i * rows * side for i in range(strips))))
    f.write(struct.pack(f"<{strips}I", *[rows * side] * strips) + struct.pack("<H", len(tags)))
    for tag, value in tags:
        f.write(struct.pack("<HHII", tag, 4, strips if tag in (273, 279) else 1, value))
    f.write(bytes(4))
EOF
options=(--format labels,csv,coco --condition '(1|2|3)' --max-memory 800MiB)
./unet predict "$work/images" --out once "${options[@]}" --threads 1 --quiet 2>/dev/null || [ $? = 3 ]
grep -q '"banded": true' once/manifest.json

# job ENGINE prints the job.
job() { ./unet cluster "$1" "$work/images" --out "$1" --parts 6 --cpus 1 --memory 1 "${options[@]}"; }

# same FOLDER compares results with those of one process.
same() {
  for d in once "$1"; do
    sed -E '/^ *"(started|finished|seconds)":/d' "$d/manifest.json" > "$d.manifest"
  done
  diff once.manifest "$1.manifest"
  diff -r --exclude=manifest.json once "$1"
  echo "$1: $(find "$1" -type f | wc -l) files, as of one process"
}

# divided FOLDER: parts have divided the large image.
divided() { [ "$(ls -d "$1"/.unet-parts/pieces/large.*-*-* | wc -l)" -gt 1 ]; }

# same_folds FOLDER compares the report of folds with that of one process.
same_folds() {
  local name
  for name in index.html folds.csv folds.json; do
    diff <(sed "s#$work/##g" "once-folds/$name") <(sed "s#$work/##g; s#$1#once-folds#g" "$1/$name")
  done
  echo "$1: the report of one process"
}

# until_ SECONDS COMMAND... waits until the command succeeds.
until_() {
  local end=$((SECONDS + $1))
  shift
  until "$@"; do
    if [ $SECONDS -ge $end ]; then
      echo "waited in vain for: $*" >&2
      return 1
    fi
    sleep 0.1
  done
}

# part I prints the processes that do a part, running I says whether there is one.
part() { pgrep -f "^$work/unet predict.*--shard $1/6" || true; }
running() { [ -n "$(part "$1")" ]; }

slurm() {
  mkdir -p deb root state spool log
  (cd deb && apt-get download -qq slurmctld slurmd slurm-client slurm-wlm-basic-plugins libhwloc15 libnuma1 2>&1 | grep -v unsandboxed || true)
  for d in deb/*.deb; do dpkg -x "$d" root; done
  local lib=$work/root/usr/lib/$(gcc -print-multiarch) host=$(hostname -s)
  cat > slurm.conf <<EOF
ClusterName=unet
SlurmctldHost=$host(127.0.0.1)
SlurmUser=$(id -un)
SlurmdUser=$(id -un)
AuthType=auth/none
CredType=cred/none
MpiDefault=none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
ReturnToService=2
SlurmctldPidFile=$work/state/ctld.pid
SlurmdPidFile=$work/spool/slurmd.pid
SlurmctldPort=16817
SlurmdPort=16818
StateSaveLocation=$work/state
SlurmdSpoolDir=$work/spool
SlurmctldLogFile=$work/log/ctld.log
SlurmdLogFile=$work/log/slurmd.log
SchedulerType=sched/backfill
SchedulerParameters=defer_batch,sched_interval=1,bf_interval=1
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
JobAcctGatherType=jobacct_gather/none
JobRequeue=1
PluginDir=$lib/slurm-wlm
SlurmdParameters=config_overrides
NodeName=$host NodeAddr=127.0.0.1 CPUs=4 RealMemory=64000 State=UNKNOWN
PartitionName=p Nodes=$host Default=YES MaxTime=INFINITE State=UP
EOF
  export SLURM_CONF=$work/slurm.conf
  # Only Slurm's own programs get its libraries.
  local libs=LD_LIBRARY_PATH=$lib:$lib/slurm-wlm sbin=$work/root/usr/sbin
  mkdir -p path
  for c in sbatch squeue scontrol; do
    printf '#!/bin/sh\n%s exec %s "$@"\n' "$libs" "$work/root/usr/bin/$c" > path/$c
    chmod +x path/$c
  done
  export PATH=$work/path:$PATH
  env "$libs" "$sbin/slurmctld-wlm" -D >log/out 2>&1 & daemons+=($!)
  env "$libs" "$sbin/slurmd-wlm" -D -N "$host" -d "$sbin/slurmstepd-wlm" >>log/out 2>&1 & daemons+=($!)
  if ! until_ 60 sh -c 'scontrol show node 2>/dev/null | grep -q "State=IDLE"'; then
    echo "Slurm does not start on this machine:" >&2
    tail -n 20 log/* >&2
    return 1
  fi
  squeue --version
  job slurm > job.slurm
  over() { [ -z "$(squeue -h)" ]; }
  sh job.slurm
  local id
  id=$(squeue -h -r -o %F | sort -n | head -1)
  until_ 120 running 3
  scontrol requeue "${id}_3"
  scontrol update jobid="${id}_3" starttime=now # it would wait two minutes
  until_ 120 running 5
  kill -9 $(part 5)
  until_ 600 over
  cat unet-gather-*.log
  grep -q '1 of 6 parts are not done: 5$' unet-gather-*.log
  divided slurm
  rm unet-gather-*.log
  sh job.slurm # again: the killed part is done, the others stand
  until_ 600 over
  cat unet-gather-*.log
  same slurm
  train slurm-folds --job slurm > folds.slurm
  sh folds.slurm
  until_ 600 over
  same_folds slurm-folds
}

nextflow() {
  if [ -z "${NEXTFLOW_CP:-}" ]; then
    mkdir -p maven
    cat > maven/pom.xml <<'EOF'
<project><modelVersion>4.0.0</modelVersion><groupId>x</groupId><artifactId>x</artifactId><version>1</version>
<dependencies><dependency><groupId>io.nextflow</groupId><artifactId>nextflow</artifactId><version>24.10.0</version></dependency></dependencies></project>
EOF
    (cd maven && mvn -q dependency:build-classpath -Dmdep.outputFile=cp)
    NEXTFLOW_CP=$(cat maven/cp)
  fi
  job nextflow > main.nf
  # Part 2 is killed once, and tried again by Nextflow.
  (until_ 900 running 2 && kill -9 $(part 2)) & local killer=$!
  nxf() { NXF_OFFLINE=true NXF_HOME=$work/nxf timeout 1200 java -cp "$NEXTFLOW_CP" nextflow.cli.Launcher -q run "$1"; }
  nxf main.nf
  wait $killer
  same nextflow
  # For a machine with fewer processors than trainings ask for.
  train nextflow-folds --job nextflow | sed "s/cpus 4/cpus 1/; s/'8 GB'/'1 GB'/" > folds.nf
  nxf folds.nf
  same_folds nextflow-folds
}

snakemake() {
  python=${PYTHON:-}
  if [ -z "$python" ]; then
    python3 -m venv venv
    python=$work/venv/bin/python
    "$python" -m pip install -q snakemake==9.27.1
  fi
  job snakemake > Snakefile
  (until_ 900 running 2 && kill -9 $(part 2)) & local killer=$!
  timeout 1200 "$python" -m snakemake -q all --cores 2
  wait $killer
  same snakemake
  train snakemake-folds --job snakemake > folds.smk
  timeout 1200 "$python" -m snakemake -q all --cores 2 -s folds.smk
  same_folds snakemake-folds
}

kubernetes() {
  job kubernetes > job.yaml
  train folds --job kubernetes > folds.yaml
  (cd "$here" && go mod tidy -diff && go vet . && go run . "$work/job.yaml" && go run . "$work/folds.yaml")
}

for name in "$@"; do
  echo "- $name"
  "$name"
done
