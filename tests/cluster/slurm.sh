#!/usr/bin/env bash
# Runs a command beside a real Slurm of one node: `tests/cluster/slurm.sh pytest ...`
# Its controller, its node and munge live in namespaces of their own (network, processes), and end with the command.
# Needs root and the Debian packages slurmctld slurmd slurm-client munge.
set -euo pipefail

if [ "${1:-}" != inside ]; then
    exec unshare --net --pid --mount-proc --fork --kill-child "$0" inside "$@"
fi
shift

home=$(mktemp -d)
trap 'rm -rf "$home"' EXIT
mkdir -p "$home"/{state,spool}
chmod 755 "$home"
ip link set lo up
ip address add 10.0.0.1/32 dev lo  # names are not resolved where all addresses are 127.*
dd if=/dev/urandom of="$home/munge.key" bs=128 count=1 status=none
chmod 400 "$home/munge.key"
munged --force --socket="$home/munge.socket" --key-file="$home/munge.key" --pid-file="$home/munge.pid" \
    --log-file="$home/munge.log" --seed-file="$home/munge.seed"

# CPUs that the machine may not have: toys need none, and eight jobs run at once
cat >"$home/slurm.conf" <<CONF
ClusterName=loopback
SlurmctldHost=$(hostname -s)(10.0.0.1)
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket=$home/munge.socket
CredType=cred/munge
StateSaveLocation=$home/state
SlurmdSpoolDir=$home/spool
SlurmctldPidFile=$home/slurmctld.pid
SlurmdPidFile=$home/slurmd.pid
SlurmctldLogFile=$home/slurmctld.log
SlurmdLogFile=$home/slurmd.log
SlurmdParameters=config_overrides
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerParameters=sched_interval=1,batch_sched_delay=0,sched_min_interval=100000,bf_interval=1
JobRequeue=1
KillWait=5
MpiDefault=none
ReturnToService=2
NodeName=$(hostname -s) NodeAddr=10.0.0.1 CPUs=8 State=UNKNOWN
PartitionName=short Nodes=ALL Default=YES MaxTime=INFINITE State=UP
CONF
export SLURM_CONF="$home/slurm.conf"
slurmctld
slurmd
for _ in $(seq 100); do
    [ "$(sinfo -h -o %t 2>/dev/null)" = idle ] && break
    sleep 0.2
done
if [ "$(sinfo -h -o %t)" != idle ]; then
    cat "$home"/slurmctld.log "$home"/slurmd.log >&2
    exit 1
fi
"$@"
