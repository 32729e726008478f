# OpenStack Swift for scripts/s3-lab: a proxy with the S3 interface, and one server of each kind.

packages=(swift-proxy swift-account swift-container swift-object)

# Sets `store` to what runs a program of the packages, in the place of this process where it is started by
# itself: so that its number is the one to be ended.
set_store() {
  store=(env "PYTHONPATH=$root/usr/lib/python3/dist-packages" PYTHONDONTWRITEBYTECODE=1
    "LD_LIBRARY_PATH=$root/usr/lib/x86_64-linux-gnu:$root/lib/x86_64-linux-gnu"
    /usr/bin/python3 -c "
import runpy, sys
from swift.common import utils
utils.SWIFT_CONF_FILE = '$run/swift.conf'
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name='__main__')")
}

start_store() {
  set_store
  mkdir -p "$run/devices/disk"
  local ports
  ports=($(free_ports 4))
  printf '[swift-hash]\nswift_hash_path_suffix = lab\nswift_hash_path_prefix = lab\n' >"$run/swift.conf"
  local kind number=0
  for kind in account container object; do
    number=$((number + 1))
    (
      cd "$run"
      "${store[@]}" "$root/usr/bin/"swift-ring-builder $kind.builder create 4 1 1
      "${store[@]}" "$root/usr/bin/"swift-ring-builder $kind.builder add "r1z1-127.0.0.1:${ports[$number]}/disk" 1
      "${store[@]}" "$root/usr/bin/"swift-ring-builder $kind.builder rebalance
    ) >>"$run/log" 2>&1 || { tail -3 "$run/log" >&2; echo "s3-lab: no ring" >&2; exit 1; }
    cat >"$run/$kind.conf" <<CONF
[DEFAULT]
bind_ip = 127.0.0.1
bind_port = ${ports[$number]}
user = $(id -un)
swift_dir = $run
devices = $run/devices
mount_check = false
workers = 0
fallocate_reserve = 0
disable_fallocate = true
log_address = $run/no-log
[pipeline:main]
pipeline = $kind-server
[app:$kind-server]
use = egg:swift#$kind
CONF
    "${store[@]}" "$root/usr/bin/"swift-$kind-server "$run/$kind.conf" >>"$run/log" 2>&1 &
    servers+=($!)
  done
  cat >"$run/proxy.conf" <<CONF
[DEFAULT]
bind_ip = ${S3LAB_BIND:-127.0.0.1}
bind_port = ${ports[0]}
user = $(id -un)
swift_dir = $run
workers = 0
log_address = $run/no-log
[pipeline:main]
pipeline = catch_errors cache s3api tempauth bulk slo proxy-server
[app:proxy-server]
use = egg:swift#proxy
account_autocreate = true
[filter:catch_errors]
use = egg:swift#catch_errors
[filter:cache]
use = egg:swift#memcache
memcache_servers = 127.0.0.1:1
[filter:s3api]
use = egg:swift#s3api
s3_acl = false
check_bucket_owner = false
[filter:tempauth]
use = egg:swift#tempauth
user_lab_lab = secret .admin
[filter:bulk]
use = egg:swift#bulk
[filter:slo]
use = egg:swift#slo
CONF
  "${store[@]}" "$root/usr/bin/"swift-proxy-server "$run/proxy.conf" >>"$run/log" 2>&1 &
  servers+=($!)
  export AWS_ENDPOINT_URL=http://127.0.0.1:${ports[0]} AWS_ACCESS_KEY_ID=lab:lab
}
