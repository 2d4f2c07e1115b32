#!/usr/bin/env bash
# A real SLURM on this one machine (munged, mariadbd, slurmdbd, slurmctld, two slurmd), in namespaces of its
# own: nothing of the machine's /etc/slurm, ports or processes is touched, and the end of this shell ends all.
#   unshare --mount --net --pid --fork --kill-child --mount-proc tests/slurm/cluster.sh FOLDER
# It says "ready" and runs until its input ends. Needs root and: apt-get install --no-install-recommends
#   slurmctld slurmd slurm-client munge slurmdbd mariadb-server-core mariadb-client-core
# Node cpu1 serves partition cpu, node gpu1 with one made-up GPU serves partition gpu. They are two because
# on one a job that waits for the GPU also holds back jobs that need none.
set -euo pipefail
dir=$1 host=$(hostname -s)
unset SLURM_CONF
mkdir -p "$dir"/{etc,run,log,state,dev,db,spool/cpu1,spool/gpu1}
# the plugin's inner srun drops SLURM_CONF, so the configuration has to lie where SLURM looks for it
mount --bind "$dir/etc" /etc/slurm
ip link set lo up
# where no address is but the loop's, SLURM takes the machine for one without IPv4
ip address add 192.0.2.1/32 dev lo

# a copy of /dev/null: slurmd wants a device
mknod -m 666 "$dir/dev/gpu0" c 1 3
echo "NodeName=gpu1 Name=gpu Type=fake File=$dir/dev/gpu0" >"$dir/etc/gres.conf"
cat >"$dir/etc/slurm.conf" <<CONF
ClusterName=test
SlurmctldHost=$host(127.0.0.1)
SlurmUser=root
AuthInfo=socket=$dir/run/munge.socket
StateSaveLocation=$dir/state
SlurmdSpoolDir=$dir/spool/%n
SlurmctldPidFile=$dir/run/slurmctld.pid
SlurmdPidFile=$dir/run/slurmd-%n.pid
SlurmctldLogFile=$dir/log/slurmctld.log
SlurmdLogFile=$dir/log/slurmd-%n.log
MailProg=/bin/true
# no cgroups, no core binding
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
# schedule at once, so that tests do not wait
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
SchedulerParameters=batch_sched_delay=0,sched_interval=1,bf_interval=1
GresTypes=gpu
# sacct answers while slurmctld is down, which squeue does not
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=127.0.0.1
AccountingStoragePass=$dir/run/munge.socket
AccountingStorageTRES=gres/gpu
JobAcctGatherType=jobacct_gather/linux
JobCompType=jobcomp/none
KillWait=3
ReturnToService=2
# processors and memory are made up
SlurmdParameters=config_overrides
NodeName=cpu1 NodeHostname=$host NodeAddr=127.0.0.1 Port=16818 CPUs=8 RealMemory=64000
NodeName=gpu1 NodeHostname=$host NodeAddr=127.0.0.1 Port=16819 CPUs=8 RealMemory=64000 Gres=gpu:fake:1
PartitionName=cpu Nodes=cpu1 Default=YES MaxTime=1440
PartitionName=gpu Nodes=gpu1 MaxTime=1440
CONF
(umask 077 && cat >"$dir/etc/slurmdbd.conf") <<CONF
DbdHost=localhost
DbdAddr=127.0.0.1
SlurmUser=root
AuthInfo=socket=$dir/run/munge.socket
PidFile=$dir/run/slurmdbd.pid
LogFile=$dir/log/slurmdbd.log
StorageType=accounting_storage/mysql
StorageUser=root
CONF

wait_for() {
  for _ in $(seq 150); do "$@" >"$dir/log/waited" 2>&1 && return; sleep 0.2; done
  echo "not ready after 30 s: $*: $(cat "$dir/log/waited")" >&2
  tail -n 20 "$dir"/log/*.log >&2
  exit 1
}

(umask 077 && head -c 128 /dev/urandom >"$dir/etc/munge.key")
munged --force --key-file="$dir/etc/munge.key" --socket="$dir/run/munge.socket" \
  --pid-file="$dir/run/munged.pid" --log-file="$dir/log/munged.log" --seed-file="$dir/etc/munge.seed"
mariadb-install-db --no-defaults --user=root --datadir="$dir/db" --auth-root-authentication-method=normal \
  --skip-test-db --innodb-log-file-size=8M >"$dir/log/install-db.log" 2>&1
export MYSQL_UNIX_PORT=$dir/run/mysql.socket
mariadbd --no-defaults --user=root --datadir="$dir/db" --socket="$MYSQL_UNIX_PORT" --skip-networking \
  --pid-file="$dir/run/mariadbd.pid" --innodb-buffer-pool-size=32M --innodb-log-file-size=8M \
  --innodb-lock-wait-timeout=900 >"$dir/log/mariadbd.log" 2>&1 </dev/null &
wait_for test -S "$MYSQL_UNIX_PORT"
slurmdbd
wait_for sacctmgr -n list cluster
sacctmgr -iQ add cluster test
sacctmgr -iQ add account test cluster=test
sacctmgr -iQ add user "$(id -un)" account=test
slurmctld
slurmd -N cpu1
slurmd -N gpu1
both_idle() { [ "$(sinfo -hN -o %T | xargs)" = 'idle idle' ]; }
wait_for both_idle
echo ready
read -r || true
