// Configs as xl 4.17.7 wrote them into real save images.

enum RealConfigs {
  static let all = [hvm, pvh]

  /// An HVM guest with a device model.
  static let hvm = #"""
    {
        "c_info": {
            "type": "hvm",
            "name": "hvm1",
            "uuid": "4a335b0c-7acb-43a2-8cbe-bf85f82dc0ed",
            "run_hotplug_scripts": "True"
        },
        "b_info": {
            "max_vcpus": 1,
            "avail_vcpus": [
                0
            ],
            "max_memkb": 163840,
            "target_memkb": 163840,
            "video_memkb": 0,
            "sched_params": {
                "sched": "credit2",
                "weight": 256,
                "cap": 0
            },
            "claim_mode": "True",
            "kernel": "/lab/vmlinuz-domu",
            "cmdline": "console=ttyS0 quiet mitigations=off xen_emul_unplug=never hbmb=8 hbdp=16",
            "ramdisk": "/lab/domu-initrd.gz",
            "type.hvm": {
                "vga": {
                    "kind": "none"
                },
                "vnc": {
                    "enable": "False"
                },
                "sdl": {
                    "enable": "False"
                },
                "spice": {

                },
                "serial": "pty",
                "usb": "False",
                "rdm": {

                }
            },
            "arch_arm": {

            },
            "arch_x86": {
                "msr_relaxed": "False"
            }
        },
        "on_reboot": "restart",
        "on_crash": "preserve",
        "on_soft_reset": "soft_reset"
    }

    """#

  /// A PVH guest.
  static let pvh = #"""
    {
        "c_info": {
            "type": "pvh",
            "name": "tpvh",
            "uuid": "e8ff3471-0ed3-4b8b-9570-0c2a140a5489",
            "run_hotplug_scripts": "True"
        },
        "b_info": {
            "max_vcpus": 1,
            "avail_vcpus": [
                0
            ],
            "max_memkb": 4096,
            "target_memkb": 4096,
            "video_memkb": 0,
            "sched_params": {
                "sched": "credit2",
                "weight": 256,
                "cap": 0
            },
            "claim_mode": "True",
            "kernel": "/in/tiny-pvh",
            "type.pvh": {

            },
            "arch_arm": {

            },
            "arch_x86": {
                "msr_relaxed": "False"
            }
        },
        "on_reboot": "restart",
        "on_crash": "preserve",
        "on_soft_reset": "soft_reset"
    }

    """#
}
