# Functions for scripts that run in the lab's dom0:  . /lab/lib.sh
# shellcheck shell=bash

# guest_config NAME pv|pvh|hvm [MEMORY_MIB [VCPUS [HEARTBEAT_MIB [DIRTY_PAGES_PER_SECOND]]]]
# prints an xl configuration for a Linux guest that runs the heartbeat.
guest_config() {
  local name=$1 type=$2 memory=${3:-128} vcpus=${4:-2} heartbeat=${5:-32} dirty=${6:-64}
  local kernel=/lab/guest-vmlinux
  local options="quiet mitigations=off heartbeat.memory=$heartbeat heartbeat.dirty=$dirty"
  if [ "$type" = hvm ]; then
    kernel=/lab/guest-vmlinuz
    options="console=ttyS0 xen_emul_unplug=never $options"
    echo "serial = 'file:/var/log/xen/console/serial-$name.log'"
    echo "vga = 'none'"
    echo "vnc = 0"
    echo "usb = 0"
  else
    options="console=hvc0 $options"
  fi
  cat <<CONFIG
name = '$name'
type = '$type'
memory = $memory
maxmem = $memory
vcpus = $vcpus
kernel = '$kernel'
ramdisk = '/lab/guest-initrd.gz'
extra = '$options'
on_poweroff = 'destroy'
on_crash = 'preserve'
CONFIG
}

# console_log NAME pv|pvh|hvm [FIRST_NAME] prints the path of a guest's console log.
# The serial line of an HVM guest keeps the path it was created with, whatever its name is later.
console_log() {
  if [ "$2" = hvm ]; then
    echo "/var/log/xen/console/serial-${3:-$1}.log"
  else
    echo "/var/log/xen/console/guest-$1.log"
  fi
}

# beats LOG prints the complete heartbeat lines of a console log (which may not exist yet).
beats() {
  [ ! -e "$1" ] ||
    sed -nE 's/\r?$//; /^beat [0-9]+ run=[0-9a-f]{8} pages=[0-9]+ errors=[0-9]+$/p' "$1"
}

# wait_beats LOG COUNT SECONDS waits until LOG has COUNT heartbeats; fails after SECONDS.
wait_beats() {
  local end=$((SECONDS + $3))
  until [ "$(beats "$1" | wc -l)" -ge "$2" ]; do
    if ((SECONDS >= end)); then
      echo "no $2 heartbeats within $3 seconds in $1"
      return 1
    fi
    sleep 0.5
  done
}

# boot_guest NAME pv|pvh|hvm starts a guest and waits for its first heartbeats.
boot_guest() {
  local config=/tmp/$1.cfg log
  log=$(console_log "$1" "$2")
  rm -f "$log"
  guest_config "$1" "$2" > "$config"
  timeout 120 xl create "$config" && wait_beats "$log" 3 600
}

# guest_names prints the names of all running domains but dom0.
guest_names() {
  xl list | awk 'NR > 1 && $2 > 0 { print $1 }'
}
