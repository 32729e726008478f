# Ceph for scripts/s3-lab: a monitor, one OSD over a sparse file, and radosgw.

packages=(ceph-mon ceph-osd ceph-common radosgw)

# Runs a program of the packages, in the place of a subshell where it is started by itself.
ceph_program() {
  local libraries=$root/usr/lib/x86_64-linux-gnu
  exec env "LD_LIBRARY_PATH=$libraries:$libraries/ceph:$root/usr/lib:$root/lib/x86_64-linux-gnu" \
    "PYTHONPATH=$root/usr/lib/python3/dist-packages" PYTHONDONTWRITEBYTECODE=1 \
    "CEPH_CONF=$run/ceph.conf" "$root/usr/bin/$@"
}

# Does it, with what it prints in the log, within so many seconds.
ceph_step() {
  local seconds=$1 process
  shift
  (ceph_program "$@") >>"$run/log" 2>&1 &
  process=$!
  for _ in $(seq $((seconds * 10))); do
    kill -0 $process 2>/dev/null || { wait $process && return 0; break; }
    sleep 0.1
  done
  kill $process 2>/dev/null || true
  tail -3 "$run/log" >&2
  echo "s3-lab: failed: $*" >&2
  exit 1
}

ceph_server() {
  (ceph_program "$@" --foreground) >>"$run/log" 2>&1 &
  servers+=($!)
}

start_store() {
  local ports id disk libraries=$root/usr/lib/x86_64-linux-gnu
  ports=($(free_ports 2))
  id=$(cat /proc/sys/kernel/random/uuid)
  disk=$(cat /proc/sys/kernel/random/uuid)
  mkdir "$run/mon" "$run/osd" "$run/rgw"
  cat >"$run/ceph.conf" <<CONF
[global]
fsid = $id
mon host = [v1:127.0.0.1:${ports[1]}]
public addr = 127.0.0.1
ms bind msgr2 = false
auth cluster required = none
auth service required = none
auth client required = none
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 4
osd pool default pgp num = 4
osd crush chooseleaf type = 0
osd crush update on start = false
osd class update on start = false
mon data avail crit = 0
mon data avail warn = 0
run dir = $run
admin socket =
log file =
pid file =
plugin dir = $libraries/ceph
osd class dir = $libraries/rados-classes
osd class load list = *
osd class default list = *
erasure code dir = $libraries/ceph/erasure-code
osd objectstore = bluestore
bluestore block size = 68719476736
osd memory target = 1073741824
rgw gc obj min wait = 1
rgw gc processor period = 5
rgw gc processor max time = 5
mon data = $run/mon
osd data = $run/osd
rgw data = $run/rgw
rgw frontends = beast endpoint=${S3LAB_BIND:-127.0.0.1}:${ports[0]}
CONF
  ceph_step 20 monmaptool --create --fsid "$id" --addv a "[v1:127.0.0.1:${ports[1]}]" "$run/monmap"
  ceph_step 60 ceph-mon --mkfs -i a --monmap "$run/monmap"
  ceph_server ceph-mon -i a
  ceph_step 60 ceph osd new "$disk"
  ceph_step 60 ceph-osd -i 0 --mkfs --osd-uuid "$disk"
  # An OSD that is started at once asks the monitor for this too early, and ends ("wrong fsid").
  ceph_step 60 ceph osd crush add osd.0 1 root=default host=lab
  ceph_server ceph-osd -i 0
  # Before radosgw starts: where both make the zone at once, one of them may wait for ever.
  ceph_step 120 radosgw-admin user create --uid lab --display-name lab --access-key lab \
    --secret secret
  ceph_server radosgw --name client.rgw
  export AWS_ENDPOINT_URL=http://127.0.0.1:${ports[0]} AWS_ACCESS_KEY_ID=lab
}
